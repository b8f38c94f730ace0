import type * as cvm from "tencentcloud-sdk-nodejs/tencentcloud/services/cvm/v20170312/cvm_models.js";
import { CloudError } from "../../model/errors.ts";
import { enisOf, type InstanceRecord, type Network } from "../../model/network.ts";
import { type ActionTable, type Answer, filters, read, texts } from "../table/action.ts";
import { pageOf, pick, type Selection, select } from "../table/paging.ts";

/** Source: clb-api.md §2.6. */
const FILTER_VALUES = 5;

export type CvmPorts = { readonly network: Pick<Network, "instances" | "enis"> };

/** CVM service: the nodes. Limits and filters: clb-api.md §2.6. */
export const cvmActions = (): ActionTable<CvmPorts> => ({
  DescribeInstances: read<cvm.DescribeInstancesRequest, cvm.DescribeInstancesResponse, CvmPorts>({
    fields: {
      InstanceIds: texts(100),
      Filters: filters,
      Offset: { type: "integer", min: 0 },
      Limit: { type: "integer", min: 1, max: 100 },
    },
    run: (request, _call, { network }) => {
      const { InstanceIds: ids = [], Filters: wanted = [] } = request;
      if (ids.length > 0 && wanted.length > 0)
        throw new CloudError("InvalidParameterCombination", "`InstanceIds` and `Filters` cannot be given together.");
      for (const { Name, Values } of wanted)
        if (Values.length > FILTER_VALUES)
          throw new CloudError(
            "InvalidFilterValue.LimitExceeded",
            `The filter ${Name} has ${Values.length} values, at most ${FILTER_VALUES}.`,
          );
      const from = instances(network);
      const wrong = { prefix: "ins", malformed: "InvalidInstanceId.Malformed", notFound: "InvalidInstanceId.NotFound" };
      const found = ids.length > 0 ? pick(ids, from, wrong) : select(wanted, from);
      return { TotalCount: found.length, InstanceSet: pageOf(found, request).map((one) => showInstance(one, network)) };
    },
  }),
});

function instances(network: CvmPorts["network"]): Selection<InstanceRecord> {
  const primary = (one: InstanceRecord) => enisOf(network, one.id).filter((eni) => eni.primary);
  return {
    items: network.instances.values(),
    idOf: ({ id }) => id,
    tagsOf: ({ tags }) => tags,
    unknownFilter: "InvalidFilter",
    filters: {
      zone: ({ zone }) => [zone],
      "project-id": () => ["0"],
      "vpc-id": ({ vpcId }) => [vpcId],
      "subnet-id": ({ subnetId }) => [subnetId],
      "instance-id": ({ id }) => [id],
      "instance-name": ({ name }) => [name],
      "instance-state": ({ state }) => [state],
      "instance-charge-type": () => ["POSTPAID_BY_HOUR"],
      uuid: ({ uuid }) => [uuid],
      "security-group-id": (one) => primary(one).flatMap(({ securityGroupIds }) => securityGroupIds),
      "private-ip-address": (one) => primary(one).map(({ primaryIp }) => primaryIp),
      "tag-value": ({ tags }) => [...tags.values()],
    },
  };
}

const isoTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}+00:00`;

/** Every documented field; what has no meaning here has the value of a small pay-as-you-go node. */
function showInstance(instance: InstanceRecord, network: Pick<Network, "enis">): Answer<cvm.Instance> {
  const [primary] = enisOf(network, instance.id);
  return {
    Placement: { Zone: instance.zone, ProjectId: 0, HostIds: [], HostId: "" },
    InstanceId: instance.id,
    InstanceType: "S5.MEDIUM4",
    CPU: 2,
    Memory: 4,
    RestrictState: "NORMAL",
    InstanceName: instance.name,
    InstanceChargeType: "POSTPAID_BY_HOUR",
    SystemDisk: { DiskType: "CLOUD_PREMIUM", DiskId: `disk-${instance.id.slice(4)}`, DiskSize: 50, CdcId: "" },
    DataDisks: [],
    PrivateIpAddresses: primary === undefined ? [] : [primary.primaryIp],
    PublicIpAddresses: [],
    InternetAccessible: {
      InternetChargeType: "TRAFFIC_POSTPAID_BY_HOUR",
      InternetMaxBandwidthOut: 0,
      PublicIpAssigned: false,
      BandwidthPackageId: null,
    },
    VirtualPrivateCloud: {
      VpcId: instance.vpcId,
      SubnetId: instance.subnetId,
      AsVpcGateway: false,
      PrivateIpAddresses: [],
      Ipv6AddressCount: 0,
    },
    ImageId: "img-00000000",
    RenewFlag: "NOTIFY_AND_MANUAL_RENEW",
    CreatedTime: isoTime(instance.createdMs),
    ExpiredTime: null,
    OsName: "TencentOS Server",
    SecurityGroupIds: [...(primary?.securityGroupIds ?? [])],
    LoginSettings: { Password: null, KeyIds: [], KeepImageLogin: null },
    InstanceState: instance.state,
    Tags: [...instance.tags].map(([Key, Value]) => ({ Key, Value })),
    StopChargingMode: "NOT_APPLICABLE",
    Uuid: instance.uuid,
    LatestOperation: "RunInstances",
    LatestOperationState: "SUCCESS",
    LatestOperationRequestId: instance.uuid,
    DisasterRecoverGroupId: "",
    IPv6Addresses: [],
    CamRoleName: instance.role ?? "",
    HpcClusterId: "",
    RdmaIpAddresses: [],
    DedicatedClusterId: "",
    IsolatedSource: "NOTISOLATED",
    DisasterRecoverGroupIds: [],
    GPUInfo: null,
    LicenseType: "TencentCloud",
    DisableApiTermination: false,
    DefaultLoginUser: "root",
    DefaultLoginPort: 22,
    LatestOperationErrorMsg: "",
    EnableJumboFrame: false,
    Metadata: null,
    PublicIPv6Addresses: [],
    CpuTopology: null,
    PartitionNumber: null,
  };
}
