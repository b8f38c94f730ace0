/** Whether Pods get their gate by our webhook, or from somebody else (users' templates, a policy of the cluster). */
export const ADMISSION_MODES = ["webhook", "off"] as const;
export type AdmissionMode = (typeof ADMISSION_MODES)[number];
