import { createHash } from "node:crypto";
import type * as tag from "tencentcloud-sdk-nodejs/tencentcloud/services/tag/v20180813/tag_models.js";
import { type Account, type LoadBalancerRecord, OWNER_UIN } from "../../model/account.ts";
import { CloudError } from "../../model/errors.ts";
import type { AccountChanges } from "../../runtime/account-changes.ts";
import { type ActionTable, read, requiredText, text, unused, write } from "../table/action.ts";

const resources = { type: "array", required: true, min: 1, max: 10, of: text } as const;

export type TagPorts = { readonly changes: Pick<AccountChanges, "noteLoadBalancer">; readonly region: string };
type Changing = Pick<TagPorts, "changes">;

const md5 = (said: string): string => createHash("md5").update(said).digest("hex");

/** Tag service, load balancers only. Limits: clb-api.md §2.5. */
export const tagActions = (): ActionTable<TagPorts> => ({
  TagResources: write<tag.TagResourcesRequest, tag.TagResourcesResponse, Changing>({
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
    run: (request, { account }, { changes }) => ({
      FailedResources: eachResource(account, request.ResourceList, (loadBalancer) => {
        for (const { TagKey, TagValue } of request.Tags) loadBalancer.tags.set(TagKey, TagValue);
        changes.noteLoadBalancer(loadBalancer);
      }),
    }),
  }),

  UnTagResources: write<tag.UnTagResourcesRequest, tag.UnTagResourcesResponse, Changing>({
    fields: { ResourceList: resources, TagKeys: { type: "array", required: true, min: 1, max: 10, of: text } },
    run: (request, { account }, { changes }) => ({
      FailedResources: eachResource(account, request.ResourceList, (loadBalancer) => {
        for (const key of request.TagKeys) loadBalancer.tags.delete(key);
        changes.noteLoadBalancer(loadBalancer);
      }),
    }),
  }),

  ModifyResourceTags: write<tag.ModifyResourceTagsRequest, tag.ModifyResourceTagsResponse, Changing>({
    fields: {
      Resource: requiredText,
      ReplaceTags: {
        type: "array",
        of: { type: "object", fields: { TagKey: requiredText, TagValue: { type: "string", required: true }, Category: unused } },
      },
      DeleteTags: { type: "array", of: { type: "object", fields: { TagKey: requiredText } } },
    },
    run: modifyResourceTags,
  }),

  GetResources: read<tag.GetResourcesRequest, tag.GetResourcesResponse, Pick<TagPorts, "region">>({
    fields: {
      ResourceList: { ...resources, required: false, min: 0 },
      TagFilters: {
        type: "array",
        max: 6,
        of: { type: "object", fields: { TagKey: requiredText, TagValue: { type: "array", max: 10, of: text } } },
      },
      PaginationToken: text,
      MaxResults: { type: "integer", min: 1, max: 200 },
    },
    run: (request, { account }, { region }) => getResources(request, account, region),
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
    run: (request, { account }) => {
      const rows = request.ResourceIds.flatMap((ResourceId) =>
        [...(account.loadBalancers.get(ResourceId)?.tags ?? [])].map(([TagKey, TagValue]) => ({
          TagKey,
          TagValue,
          ResourceId,
          TagKeyMd5: md5(TagKey),
          TagValueMd5: md5(TagValue),
          ServiceType: "clb",
          Category: "Custom",
        })),
      );
      const { Offset = 0, Limit = 15 } = request;
      return { TotalCount: rows.length, Offset, Limit, Tags: rows.slice(Offset, Offset + Limit) };
    },
  }),
});

function modifyResourceTags(
  { Resource, ReplaceTags = [], DeleteTags = [] }: tag.ModifyResourceTagsRequest,
  { account }: { readonly account: Account },
  { changes }: Changing,
): Record<string, never> {
  const [failed] = eachResource(account, [Resource], (loadBalancer) => {
    for (const { TagKey, TagValue } of ReplaceTags) loadBalancer.tags.set(TagKey, TagValue);
    for (const { TagKey } of DeleteTags) loadBalancer.tags.delete(TagKey);
    changes.noteLoadBalancer(loadBalancer);
  });
  if (failed !== undefined) throw new CloudError("ResourceNotFound", failed.Message ?? "");
  return {};
}

const RESOURCE = /^qcs::clb:[^:]*:[^:]*:clb\/(.+)$/;

/** Applies to each load balancer; those that do not exist come back as failed. Names: qcs::clb:<region>:uin/<uin>:clb/<id>. */
function eachResource(account: Account, names: readonly string[], apply: (loadBalancer: LoadBalancerRecord) => void): tag.FailedResource[] {
  return names.flatMap((Resource) => {
    const loadBalancer = account.loadBalancers.get(RESOURCE.exec(Resource)?.[1] ?? "");
    if (loadBalancer === undefined) return [{ Resource, Code: "ResourceNotFound", Message: `no load balancer is called ${Resource}` }];
    apply(loadBalancer);
    return [];
  });
}

/** Resources with at least one tag, those of `ResourceList` without paging. The token of a page is the id that the next one starts with. */
function getResources(request: tag.GetResourcesRequest, account: Account, region: string) {
  const { ResourceList: names = [], TagFilters: filters = [], PaginationToken: token = "", MaxResults: size = 50 } = request;
  const named = names.map((name) => RESOURCE.exec(name)?.[1]);
  const found = [...account.loadBalancers.values()].filter(
    ({ id, tags }) =>
      tags.size > 0 &&
      (names.length === 0 || named.includes(id)) &&
      filters.every(
        ({ TagKey, TagValue = [] }) => tags.has(TagKey) && (TagValue.length === 0 || TagValue.includes(tags.get(TagKey) ?? "")),
      ),
  );
  const first = token === "" ? 0 : found.findIndex(({ id }) => id === token);
  if (first < 0) throw new CloudError("InvalidParameter.PaginationTokenInvalid", `\`PaginationToken\` ${token} is not that of a page.`);
  const end = names.length > 0 ? found.length : first + size;
  return {
    PaginationToken: found[end]?.id ?? "",
    ResourceTagMappingList: found.slice(first, end).map(({ id, tags }) => ({
      Resource: `qcs::clb:${region}:uin/${OWNER_UIN}:clb/${id}`,
      Tags: [...tags].map(([TagKey, TagValue]) => ({ TagKey, TagValue, Category: "Custom" })),
    })),
  };
}
