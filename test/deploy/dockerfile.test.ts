import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { PROGRAMS, readPins } from "../../deploy/tools/debian.ts";
import { IMAGE_ENVIRONMENT } from "../../deploy/tools/image.ts";

const dockerfile = readFileSync("deploy/Dockerfile", "utf8");
/** Packages of Debian with the programs that its slim image lacks. */
const PACKAGE_OF: Readonly<Partial<Record<(typeof PROGRAMS)[number], string>>> = {
  ip: "iproute2",
  nft: "nftables",
  conntrack: "conntrack",
};

test("deploy/Dockerfile makes what npm run image makes: the pinned Node, the agent's programs, the same user and entry", () => {
  const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8")) as { devDependencies: { node: string } };
  assert.match(dockerfile, new RegExp(`^FROM docker.io/library/node:${devDependencies.node}-bookworm-slim AS build$`, "m"));
  const installed = /apt-get install -y --no-install-recommends ([^\\]+)/.exec(dockerfile)?.[1]?.trim().split(" ") ?? [];
  const wanted = PROGRAMS.flatMap((program) => PACKAGE_OF[program] ?? []);
  assert.deepEqual(
    wanted.filter((name) => !installed.includes(name)),
    [],
  );
  const pinned = readPins().amd64.map((pin) => pin.package);
  for (const name of installed) assert.ok(pinned.includes(name), `${name} is in no image of npm run image`);
  const environment = Object.entries(IMAGE_ENVIRONMENT).map(([key, value]) => `${key}=${value}`);
  for (const line of [
    `ENV ${environment.join(" ")}`,
    "USER 65532",
    "WORKDIR /app",
    'ENTRYPOINT ["/usr/local/bin/node"]',
    "RUN node deploy/tools/build-main.ts",
  ])
    assert.ok(dockerfile.split("\n").includes(line), line);
});

test("whatever deploy/Dockerfile copies and runs is there", () => {
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files = ""]) => files.split(" "));
  const run = [...dockerfile.matchAll(/^RUN node (\S+)$/gm)].map(([, script = ""]) => script);
  assert.ok(copied.length > 1 && run.length > 0);
  for (const file of [...copied, ...run]) assert.ok(existsSync(file), `${file} does not exist`);
  const stages = [...dockerfile.matchAll(/^FROM \S+ AS (\S+)$/gm)].map(([, name]) => name);
  for (const [, from] of dockerfile.matchAll(/--from=(\S+)/g)) assert.ok(stages.includes(from), `there is no stage ${from}`);
});

test("what the container engine is not given is not asked for: the sources suffice for a build", () => {
  const ignored = readFileSync(".dockerignore", "utf8").trim().split("\n");
  assert.deepEqual(ignored, [".git", "dist", "node_modules"]);
});
