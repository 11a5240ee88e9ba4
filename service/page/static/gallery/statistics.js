/** How much there is, and of what: totals, and bars of cameras and identities that filter. */
import { useState } from "preact/hooks";
import { count, percent } from "../format.js";
import { html } from "../html.js";

const FEW = 8;
const MANY = 200;

/** The figures of the whole gallery in a row. */
export function Totals({ stats }) {
  const damaged = stats && stats.damaged + stats.damaged_images;
  const figures = [
    ["Records", stats?.total],
    ["Identities", stats?.num_identities],
    ["Cameras", stats?.num_cameras],
    ["Image files", stats?.num_images],
    ["Searchable", stats?.searchable, stats && stats.searchable < stats.total ? "warn" : ""],
    ["Damaged", damaged, damaged ? "bad" : ""],
  ];
  return html`
    <dl class="totals" aria-label="The whole gallery">
      ${figures.map(
        ([label, value, tone = ""]) => html`
          <div key=${label} class=${tone}><dt>${label}</dt><dd class="figures">${stats ? count(value) : "–"}</dd></div>
        `,
      )}
    </dl>
  `;
}

/** Cameras and identities by their number of records. */
export function Statistics({ stats, conditions, onChange }) {
  const { total, cameras, identities, searchable, num_cameras, num_identities } = stats;
  const withCamera = (value) => onChange({ ...conditions, camera: value === null ? [] : [value] });
  const withIdentity = (value) => onChange({ ...conditions, identity: value ?? "" });
  return html`
    <aside class="statistics stack" aria-label="Statistics">
      ${searchable < total && html`
        <p class="small soft">
          ${count(total - searchable)} of ${count(total)} records (${percent(1 - searchable / total)}) are not embedded
          by this model yet: queries do not find them. The job “reembed” does it.
        </p>
      `}
      <${Bars} title="Cameras" counts=${cameras} different=${num_cameras} total=${total} none="No camera"
        applied=${conditions.camera ?? []} onChoose=${withCamera} />
      <${Bars} title="Identities" counts=${identities} different=${num_identities} total=${total} none="No identity"
        applied=${[conditions.identity]} onChoose=${withIdentity} />
    </aside>
  `;
}

function Bars({ title, counts, different, total, none, applied, onChoose }) {
  const [all, setAll] = useState(false);
  const named = counts.filter(({ value }) => value !== null);
  const without = counts.find(({ value }) => value === null)?.count ?? 0;
  const shown = named.slice(0, all ? MANY : FEW);
  const most = Math.max(1, named[0]?.count ?? 1);
  return html`
    <section class="stack tight">
      <h2 class="bars-title">${title} <span class="figures faint">${count(different)}</span></h2>
      ${!named.length && html`<p class="small soft">No record has one yet.</p>`}
      <ul class="bars">
        ${shown.map(({ value, count: number }) => {
          const isApplied = applied.includes(value);
          return html`
            <li key=${value}>
              <button class="bar" aria-pressed=${String(isApplied)} style=${{ "--share": `${(100 * number) / most}%` }}
                title=${isApplied ? "Show the others as well" : `Show only ${value}`}
                onClick=${() => onChoose(isApplied ? null : value)}>
                <span class="truncate">${value}</span><span class="figures">${count(number)}</span>
              </button>
            </li>
          `;
        })}
      </ul>
      ${without > 0 && html`
        <p class="small faint row spread"><span>${none}</span><span class="figures">${count(without)}</span></p>
      `}
      ${named.length > FEW && html`
        <button class="button plain" onClick=${() => setAll(!all)}>
          ${all ? "Fewer" : `Show ${count(Math.min(MANY, named.length))} of ${count(different)}`}
        </button>
      `}
    </section>
  `;
}
