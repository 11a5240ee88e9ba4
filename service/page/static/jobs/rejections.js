/** The rows that a job could not use, and why. */
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { count } from "../format.js";
import { html } from "../html.js";
import { Pager, usePages } from "../parts/pager.js";
import { Failure, Loading } from "../parts/states.js";

const PAGE_SIZE = 25;

export function Rejections({ job }) {
  const pages = usePages([job.id]);
  const { data, problem, reload } = useResource(
    (signal) => call(job.rejections_url, { query: { limit: PAGE_SIZE, cursor: pages.cursor }, signal }),
    [job.id, pages.cursor, job.rejected],
  );
  return html`
    <section class="card stack tight job-rejections" aria-label="Rejected">
      <div class="row spread">
        <h2>Rejected <span class="faint figures">${count(job.rejected)}</span></h2>
        ${data && html`<${Pager} pages=${pages} nextCursor=${data.next_cursor} total=${data.total}
          size=${PAGE_SIZE} />`}
      </div>
      ${problem && !data && html`<${Failure} problem=${problem} retry=${reload} />`}
      ${!data && !problem && html`<${Loading} />`}
      ${data && html`<${Table} rejections=${data.rejections} />`}
    </section>
  `;
}

/** On a narrow page each row is a block of its own, so that nothing has to be scrolled sideways. */
function Table({ rejections }) {
  const hasBoxes = rejections.some(({ box }) => box);
  return html`
    <table class="job-table">
      <thead><tr><th scope="col">Line</th><th scope="col">File</th>${hasBoxes && html`<th
        scope="col">Box</th>`}<th scope="col">Reason</th></tr></thead>
      <tbody>
        ${rejections.map(
          ({ row, name, box, reason }, index) => html`
            <tr key=${index}>
              <td class="figures">${row === null ? "–" : count(row)}</td>
              <td class="job-file">${name}</td>
              ${hasBoxes && html`<td class="figures">${box ?? ""}</td>`}
              <td>${reason}</td>
            </tr>
          `,
        )}
      </tbody>
    </table>
  `;
}
