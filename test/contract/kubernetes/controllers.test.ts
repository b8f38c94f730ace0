import { registerAccess } from "./access.ts";
import { registerControllers } from "./controllers.ts";
import { contract } from "./suite.ts";
import { registerCompaction } from "./watching.ts";
import { registerWebhooks } from "./webhooks.ts";

await contract("controllers", (behaviours) => {
  registerControllers(behaviours);
  registerCompaction(behaviours);
  registerAccess(behaviours);
  registerWebhooks(behaviours);
});
