/** What came of an enrolment: counts, and each file that was not simply enrolled, with the reason. */
import { count } from "../format.js";
import { html } from "../html.js";
import { csvText } from "../parts/csv.js";
import { saveBlob } from "../parts/download.js";
import { Icon } from "../parts/icon.js";
import { href } from "../route.js";
import { forgetEnrolment, isUnderWay } from "./enrolment.js";

const TONES = { rejected: "bad", duplicate: "warn", enrolled: "accent" };
const WORDS = { rejected: "Rejected", duplicate: "There already", enrolled: "Enrolled, with a warning" };
const MOST_LISTED = 500;
const COLUMNS = ["filename", "status", "id", "detail", "warnings"];

export function EnrolResults({ now, onClose }) {
  const { results } = now;
  const number = (status) => results.filter((one) => one.status === status).length;
  const figures = [
    ["Enrolled", number("enrolled"), "good"],
    ["There already", number("duplicate"), ""],
    ["Rejected", number("rejected"), number("rejected") ? "bad" : ""],
  ];
  const remarkable = results.filter(({ status, warnings }) => status !== "enrolled" || warnings.length);
  remarkable.sort((a, b) => Object.keys(TONES).indexOf(a.status) - Object.keys(TONES).indexOf(b.status));
  const save = () => {
    const rows = remarkable.map((one) => COLUMNS.map((name) => [one[name]].flat().join("; ")));
    saveBlob(new Blob([csvText([COLUMNS, ...rows])], { type: "text/csv;charset=utf-8" }), "enrolment.csv");
  };
  return html`
    <dl class="totals" aria-label="What came of it">
      ${figures.map(
        ([label, value, tone]) => html`
          <div key=${label} class=${tone}><dt>${label}</dt><dd class="figures">${count(value)}</dd></div>
        `,
      )}
    </dl>
    ${remarkable.length > 0 && html`
      <div class="row spread">
        <h3>Files to look at</h3>
        <button class="button" onClick=${save}><${Icon} name="download" size="16" />List as CSV</button>
      </div>
      <div class="enrol-list" tabindex="0" role="region" aria-label="Files to look at">
        <table>
          <thead><tr><th scope="col">File</th><th scope="col">Result</th><th scope="col">Why</th></tr></thead>
          <tbody>
            ${remarkable.slice(0, MOST_LISTED).map(
              ({ filename, status, id, detail, warnings }, index) => html`
                <tr key=${index}>
                  <td class="enrol-name">
                    ${id ? html`<a href=${href("gallery", id)} onClick=${onClose}>${filename}</a>` : filename}
                  </td>
                  <td><span class=${`chip ${TONES[status]}`}>${WORDS[status]}</span></td>
                  <td class="small">${[detail, ...warnings].filter(Boolean).join("; ")}</td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
      ${remarkable.length > MOST_LISTED && html`
        <p class="small soft">The first ${count(MOST_LISTED)} of ${count(remarkable.length)}; the CSV has all.</p>
      `}
    `}
    ${!isUnderWay(now) && html`
      <footer>
        <button class="button" onClick=${forgetEnrolment}>Enrol more</button>
        <button class="button primary" onClick=${() => (forgetEnrolment(), onClose())}>Done</button>
      </footer>
    `}
  `;
}
