import { contract } from "./suite.ts";
import { registerTokens } from "./tokens.ts";
import { registerWatching } from "./watching.ts";

await contract("watch", (behaviours) => {
  registerWatching(behaviours);
  registerTokens(behaviours);
});
