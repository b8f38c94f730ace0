import { suiteOf } from "./outcome.ts";

suiteOf("Ingresses");
