/** E.g. { id: "eni-pods0001", mac: "20:90:6f:00:00:02", subnetId: "subnet-pods0001", …, ips: ["10.0.1.10"], groups: ["sg-pods0001"] } */
export type Eni = {
  readonly id: string;
  readonly mac: string;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly zone: string;
  /** In the order in which they are asked. */
  readonly groups: readonly string[];
  readonly ips: readonly string[];
  /** "" where it is attached to no instance. */
  readonly instanceId: string;
};
