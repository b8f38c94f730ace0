import { prepareHelm } from "./helm.ts";
import { renderInstall, renderValues, write } from "./render.ts";

const { env } = process;
write(renderValues()); // first: Helm checks the schema
const helm = prepareHelm(env);
if (helm.kind === "found") write(renderInstall(helm.file, env));
else {
  process.stderr.write(`values.schema.json and README.md are written, the install files are not: ${helm.reason}\n`);
  process.exitCode = 1;
}
