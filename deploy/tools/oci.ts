/** Layers, images and indexes as the OCI image format has them: content by digest. */
import { gzipSync } from "node:zlib";
import { digestOf } from "./tar.ts";

/** E.g. { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: "sha256:…", size: 471 }. */
export type Descriptor = { readonly mediaType: string; readonly digest: string; readonly size: number; readonly [key: string]: unknown };
/** Content by digest. */
export type Blobs = Map<string, Uint8Array>;
export type Layer = Descriptor & { readonly diffId: string };

const TYPE = "application/vnd.oci.image";
/** The best but one: the best takes twice as long for 1 % less. */
const GZIP_LEVEL = 8;

function addBlob(blobs: Blobs, mediaType: string, content: Uint8Array): Descriptor {
  const digest = digestOf(content);
  blobs.set(digest, content);
  return { mediaType, digest, size: content.length };
}

const addJson = (blobs: Blobs, type: string, value: unknown): Descriptor =>
  addBlob(blobs, `${TYPE}.${type}.v1+json`, Buffer.from(JSON.stringify(value)));

/** `packed` gives the compressed layer from where it is kept, or undefined. */
export function addLayer(
  blobs: Blobs,
  tar: Buffer,
  kept: { get(diffId: string): Buffer | undefined; put(diffId: string, packed: Buffer): void },
): Layer {
  const diffId = digestOf(tar);
  let packed = kept.get(diffId);
  if (packed === undefined) {
    packed = gzipSync(tar, { level: GZIP_LEVEL });
    kept.put(diffId, packed);
  }
  return { ...addBlob(blobs, `${TYPE}.layer.v1.tar+gzip`, packed), diffId };
}

/** `config` as in the format's "config" member, e.g. { User: "65532", Entrypoint: ["node"] }. */
export function addImage(blobs: Blobs, architecture: string, layers: readonly Layer[], config: object): Descriptor {
  const rootfs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
  const described = addJson(blobs, "config", { architecture, os: "linux", created: "1970-01-01T00:00:00Z", config, rootfs });
  const manifest = {
    schemaVersion: 2,
    mediaType: `${TYPE}.manifest.v1+json`,
    config: described,
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  };
  return { ...addJson(blobs, "manifest", manifest), platform: { architecture, os: "linux" } };
}

/** An index over the images of all architectures. */
export const addIndex = (blobs: Blobs, images: readonly Descriptor[]): Descriptor => addJson(blobs, "index", indexOf(images));

export const indexOf = (manifests: readonly Descriptor[]): object => ({ schemaVersion: 2, mediaType: `${TYPE}.index.v1+json`, manifests });
