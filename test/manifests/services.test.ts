import { suiteOf } from "./outcome.ts";

suiteOf("Services");
