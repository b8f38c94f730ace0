import type * as tag from "tencentcloud-sdk-nodejs/tencentcloud/services/tag/v20180813/tag_models.js";
import type { Account, LoadBalancerRecord } from "../state.ts";
import { type ActionTable, read, requiredText, text, unused, write } from "./action.ts";

const resources = { type: "array", required: true, min: 1, max: 10, of: text } as const;

/** Tag service, load balancers only. Limits: clb-api.md §2.5. */
export const tagActions = (): ActionTable => ({
  TagResources: write<tag.TagResourcesRequest, tag.TagResourcesResponse>({
    fields: {
      ResourceList: resources,
      Tags: {
        type: "array",
        required: true,
        min: 1,
        max: 10,
        of: { type: "object", fields: { TagKey: requiredText, TagValue: { type: "string", required: true }, Category: unused } },
      },
    },
    run: (request, { core }) => ({
      FailedResources: eachResource(core.account, request.ResourceList, (loadBalancer) => {
        for (const { TagKey, TagValue } of request.Tags) loadBalancer.tags.set(TagKey, TagValue);
      }),
    }),
  }),

  UnTagResources: write<tag.UnTagResourcesRequest, tag.UnTagResourcesResponse>({
    fields: { ResourceList: resources, TagKeys: { type: "array", required: true, min: 1, max: 10, of: text } },
    run: (request, { core }) => ({
      FailedResources: eachResource(core.account, request.ResourceList, (loadBalancer) => {
        for (const key of request.TagKeys) loadBalancer.tags.delete(key);
      }),
    }),
  }),

  DescribeResourceTagsByResourceIds: read<tag.DescribeResourceTagsByResourceIdsRequest, tag.DescribeResourceTagsByResourceIdsResponse>({
    fields: {
      ServiceType: { type: "string", required: true, oneOf: ["clb"] },
      ResourcePrefix: { type: "string", required: true, oneOf: ["clb"] },
      ResourceIds: { type: "array", required: true, min: 1, max: 50, of: text },
      ResourceRegion: requiredText,
      Offset: { type: "integer", min: 0 },
      Limit: { type: "integer", min: 1, max: 400 },
      Category: unused,
    },
    run: (request, { core }) => {
      const rows = request.ResourceIds.flatMap((ResourceId) =>
        [...(core.account.loadBalancers.get(ResourceId)?.tags ?? [])].map(([TagKey, TagValue]) => ({
          TagKey,
          TagValue,
          ResourceId,
          ServiceType: "clb",
        })),
      );
      const { Offset = 0, Limit = 15 } = request;
      return { TotalCount: rows.length, Offset, Limit, Tags: rows.slice(Offset, Offset + Limit) };
    },
  }),
});

/** Applies to each load balancer; those that do not exist come back as failed. Names: qcs::clb:<region>:uin/<uin>:clb/<id>. */
function eachResource(account: Account, names: readonly string[], apply: (loadBalancer: LoadBalancerRecord) => void): tag.FailedResource[] {
  return names.flatMap((Resource) => {
    const id = /^qcs::clb:[^:]*:[^:]*:clb\/(.+)$/.exec(Resource)?.[1] ?? "";
    const loadBalancer = account.loadBalancers.get(id);
    if (loadBalancer === undefined) return [{ Resource, Code: "ResourceNotFound", Message: `no load balancer is called ${Resource}` }];
    apply(loadBalancer);
    return [];
  });
}
