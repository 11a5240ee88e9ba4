/** Which records show the same vehicle: the jobs that propose groups, and the review of one job's groups. */
import { html } from "../html.js";
import { GroupJobs } from "./group_jobs.js";
import { JobGroups } from "./job_groups.js";

export function View({ rest, query }) {
  const [id] = rest;
  return id ? html`<${JobGroups} key=${id} id=${id} query=${query} />` : html`<${GroupJobs} />`;
}
