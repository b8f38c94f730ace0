export const IMAGE = "registry.example.com/clb-direct";
/** Any Namespace will do; one that is not the default shows that nothing depends on it. */
export const NAMESPACE = "lb-system";
export const RELEASE = "clb-direct";
