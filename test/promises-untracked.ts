/**
 * Preloaded by test/run.ts. Node's test runner follows every promise through async_hooks, from its creation to its collection, to say in
 * which test of a file an error was thrown that nobody caught: 30 % of the time of a test that only computes, such as one in virtual time.
 * Here it follows everything but promises. An error that nobody catches still fails its file, under the file's own name.
 */
import type { createHook, HookCallbacks } from "node:async_hooks";

/** The object that Node's own modules read it from: an import of the module cannot be changed. */
const hooks: { createHook: typeof createHook } = process.getBuiltinModule("node:async_hooks");
const original = hooks.createHook;
/** `trackPromises` is newer than the types. Source: nodejs.org/docs/latest-v24.x/api/async_hooks.html. */
const withoutPromises = (callbacks: HookCallbacks): HookCallbacks => Object.assign({ ...callbacks }, { trackPromises: false });
hooks.createHook = (callbacks) => original(withoutPromises(callbacks));
