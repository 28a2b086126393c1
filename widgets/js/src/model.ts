// What the API sends, as far as the views use it. The OpenAPI document is the reference; a test compares.

export type Status = "pending" | "starting" | "running" | "stopping" | "stopped" | "failed" | "deleting";
export type Power = "on" | "paused" | "off" | "unknown";

export interface ProblemDetails {
  code: string;
  title?: string;
  status: number;
  detail: string;
  errors?: Record<string, unknown>[];
}

export interface PhaseMark {
  phase: string;
  message: string;
  progress: number;
  at: string;
}

export interface Machine {
  id: string;
  name: string;
  owner: string | null;
  server_name: string | null;
  appliance: string;
  appliance_title: string;
  flavor: string;
  vcpus: number;
  memory_mib: number;
  disk_mib: number;
  cluster: string | null;
  host: string | null;
  hypervisor: string | null;
  acceleration: string | null;
  uuid: string;
  network: string | null;
  address: string | null;
  mac: string | null;
  home: string | null;
  status: Status;
  target: string;
  power: Power;
  unknown_since: string | null;
  progress: number;
  timeline: PhaseMark[];
  error: ProblemDetails | null;
  console_tail: string | null;
  labels: Record<string, string>;
  notes: string;
  protected: boolean;
  lock: { author: string; at: string; reason: string } | null;
  stored: boolean;
  moving_to: string | null;
  pending: { flavor: string; vcpus: number; memory_mib: number } | null;
  actions: string[];
  revision: number;
  created: string;
  changed: string;
}

/** A disk image that machines are made of. */
export interface Appliance {
  id: string;
  title: string;
  version: string;
  description: string;
  arch: string;
  size: number;
  notebook: boolean;
  default: boolean;
  hidden: boolean;
  updated: string;
}

export interface Feed {
  id: string;
  title: string;
  url: string;
  configured: boolean;
  enabled: boolean;
  entries: number;
  checked: string | null;
  failing_since: string | null;
  error: string;
}

/** What a feed offers, compared with what is here. */
export interface CatalogueEntry {
  id: string;
  title: string;
  description: string;
  category: string;
  version: string;
  arch: string;
  size: number | null;
  licence: string;
  updated: string | null;
  updated_text: string;
  feed_title: string;
  enclosures: { url: string; checksums: Record<string, string> }[];
  downloaded: string | null;
  newer: boolean;
  expired: boolean;
  verified: boolean;
}

/** What a machine was at some time. */
export interface Snapshot {
  name: string;
  created: string;
  memory: boolean;
  current: boolean;
}

/** A machine's domain, as libvirt has it. */
export interface MachineXml {
  xml: string;
  digest: string;
  running: string | null;
  own: boolean;
  pending: boolean;
}

/** What must not stand in a definition. */
export interface BrokenRule {
  rule: string;
  line: number;
  message: string;
}

/** What became of another definition, or would. */
export interface XmlChanged {
  kept: boolean;
  diff: string;
  broken: BrokenRule[];
  pending: boolean;
}

/** One of the definitions that a machine had. */
export interface Definition {
  number: number;
  at: string;
  author: string;
  comment: string;
  overrode: string[];
  own: boolean;
  diff: string;
}

/** A size that is offered. */
export interface Flavor {
  id: string;
  default: boolean;
  title: string;
  vcpus: number;
  memory_mib: number;
}

export interface Host {
  id: string;
  name: string;
  uris: string[];
  level: string;
  alive: boolean;
  unknown_since: string | null;
  reason: string;
  maintenance: boolean;
  arch: string;
  cpus: number;
  memory_mib: number;
  vcpus_promised: number;
  memory_promised_mib: number;
  machines: number;
  acceleration: string | null;
  source: string;
}

export interface Cluster {
  id: string;
  name: string;
  hosts: string[];
  machines: number;
  default: boolean;
}

/** A domain as libvirt has it, whoever made it. */
export interface SeenDomain {
  uuid: string;
  name: string;
  power: string;
  reason: string;
  machine: string | null;
  foreign: boolean;
}

/** What something used over time: a column has one entry a point, null where nothing was measured. */
export interface Usage {
  subject: string;
  start: string;
  end: string;
  resolution: number;
  cpus: (number | null)[];
  memory_mib: (number | null)[];
  disk_read: (number | null)[];
  disk_written: (number | null)[];
  network_received: (number | null)[];
  network_sent: (number | null)[];
}

/** What answers at a connection URI. */
export interface HostReport {
  reachable: boolean;
  reason: string;
  level: string | null;
  hostname: string;
  cpus: number;
  memory_mib: number;
  domains: number;
  running: number;
}

export interface Pool {
  id: string;
  name: string;
  capacity_mib: number;
  available_mib: number;
  alive: boolean;
}

export interface Operation {
  id: string;
  action: string;
  subject: string;
  actor: string;
  status: "running" | "succeeded" | "failed" | "cancelled";
  progress: number;
  message: string;
  error: ProblemDetails | null;
  cancellable: boolean;
  created: string;
  finished: string | null;
}

/** Who did what to which thing. */
export interface AuditRecord {
  id: number;
  at: string;
  actor: string;
  action: string;
  subject: string;
  outcome: string;
  address: string | null;
}

export interface Health {
  status: string;
  version: string;
  hub_id: string;
  components: { name: string; status: string; detail: string }[];
}

export interface Page<T> {
  items: T[];
  total: number;
  next: string | null;
  event_id: number;
}

/** One event; `data` is the object as it is after the event. */
export interface Happening {
  id: number;
  type: string;
  subject: string;
  data: Record<string, unknown>;
}
