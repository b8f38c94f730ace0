import type * as vpc from "tencentcloud-sdk-nodejs/tencentcloud/services/vpc/v20170312/vpc_models.js";
import type { Network, TemplateRecord } from "../../model/network.ts";
import { type ActionTable, type Answer, cloudTime, filters, flag, read, text, unused } from "../table/action.ts";
import { pageOf, select, textPage } from "../table/paging.ts";

const fields = {
  Filters: filters,
  Offset: text,
  Limit: text,
  /** Members are told with or without it, as published. */
  NeedMemberInfo: flag,
  OrderField: unused,
  OrderDirection: unused,
  MemberOrderField: unused,
  MemberOrderDirection: unused,
} as const;

type Ports = {
  readonly network: Pick<Network, "addressTemplates" | "addressTemplateGroups" | "serviceTemplates" | "serviceTemplateGroups">;
};

/** Lists of addresses and of ports that security group rules refer to, e.g. "ipm-…", "ppmg-…". */
export const templateActions = (): ActionTable<Ports> => ({
  DescribeAddressTemplates: read<vpc.DescribeAddressTemplatesRequest, vpc.DescribeAddressTemplatesResponse, Ports>({
    fields,
    run: (request, _call, { network }) => {
      const found = find(request, network.addressTemplates, "address-template", "address-ip");
      return { TotalCount: found.total, AddressTemplateSet: found.page.map(showAddresses) };
    },
  }),

  DescribeAddressTemplateGroups: read<vpc.DescribeAddressTemplateGroupsRequest, vpc.DescribeAddressTemplateGroupsResponse, Ports>({
    fields,
    run: (request, _call, { network }) => {
      const found = find(request, network.addressTemplateGroups, "address-template-group");
      return { TotalCount: found.total, AddressTemplateGroupSet: found.page.map((one) => showAddressGroup(one, network.addressTemplates)) };
    },
  }),

  DescribeServiceTemplates: read<vpc.DescribeServiceTemplatesRequest, vpc.DescribeServiceTemplatesResponse, Ports>({
    fields,
    run: (request, _call, { network }) => {
      const found = find(request, network.serviceTemplates, "service-template", "service-port");
      return { TotalCount: found.total, ServiceTemplateSet: found.page.map(showServices) };
    },
  }),

  DescribeServiceTemplateGroups: read<vpc.DescribeServiceTemplateGroupsRequest, vpc.DescribeServiceTemplateGroupsResponse, Ports>({
    fields,
    run: (request, _call, { network }) => {
      const { serviceTemplateGroups: groups, serviceTemplates: templates } = network;
      const found = find(request, groups, "service-template-group");
      return {
        TotalCount: found.total,
        ServiceTemplateGroupSet: found.page.map((group) => showServiceGroup(group, templates)),
      };
    },
  }),
});

type Request = { readonly Filters?: vpc.Filter[]; readonly Offset?: string; readonly Limit?: string };

/** By `<kind>-id`, `<kind>-name` and, for templates, by what they hold. */
function find(request: Request, records: ReadonlyMap<string, TemplateRecord>, kind: string, member?: string) {
  const found = select(request.Filters ?? [], {
    items: records.values(),
    idOf: ({ id }) => id,
    unknownFilter: "InvalidParameter.FilterInvalidKey",
    filters: {
      [`${kind}-id`]: ({ id }) => [id],
      [`${kind}-name`]: ({ name }) => [name],
      ...(member !== undefined && { [member]: ({ members }: TemplateRecord) => members }),
    },
  });
  return { total: found.length, page: pageOf(found, textPage(request)) };
}

const times = ({ createdMs }: TemplateRecord) => ({ CreatedTime: cloudTime(createdMs), UpdatedTime: cloudTime(createdMs) });

const showAddresses = (template: TemplateRecord): Answer<vpc.AddressTemplate> => ({
  AddressTemplateName: template.name,
  AddressTemplateId: template.id,
  AddressSet: [...template.members],
  AddressExtraSet: template.members.map((Address) => ({ Address, Description: "", UpdatedTime: cloudTime(template.createdMs) })),
  TagSet: [],
  ...times(template),
});

const showAddressGroup = (group: TemplateRecord, templates: ReadonlyMap<string, TemplateRecord>): Answer<vpc.AddressTemplateGroup> => ({
  AddressTemplateGroupName: group.name,
  AddressTemplateGroupId: group.id,
  AddressTemplateIdSet: [...group.members],
  AddressTemplateSet: group.members.map((id) => ({
    AddressTemplateId: id,
    AddressTemplateName: templates.get(id)?.name ?? "",
    From: "",
    To: "",
  })),
  TagSet: [],
  ...times(group),
});

const showServices = (template: TemplateRecord): Answer<vpc.ServiceTemplate> => ({
  ServiceTemplateId: template.id,
  ServiceTemplateName: template.name,
  ServiceSet: [...template.members],
  ServiceExtraSet: template.members.map((Service) => ({ Service, Description: "", UpdatedTime: cloudTime(template.createdMs) })),
  TagSet: [],
  ...times(template),
});

const showServiceGroup = (group: TemplateRecord, templates: ReadonlyMap<string, TemplateRecord>): Answer<vpc.ServiceTemplateGroup> => ({
  ServiceTemplateGroupId: group.id,
  ServiceTemplateGroupName: group.name,
  ServiceTemplateIdSet: [...group.members],
  ServiceTemplateSet: group.members.flatMap((id) => {
    const template = templates.get(id);
    return template === undefined ? [] : [showServices(template)];
  }),
  TagSet: [],
  ...times(group),
});
