import { registerDeleting } from "./deleting.ts";
import { registerKinds } from "./kinds.ts";
import { contract } from "./suite.ts";
import { registerWriting } from "./writing.ts";

await contract("objects", (behaviours) => {
  registerWriting(behaviours);
  registerDeleting(behaviours);
  registerKinds(behaviours);
});
