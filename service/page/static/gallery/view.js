/** The gallery: what has been enrolled. `#/gallery?camera=gate` shows what passes, `#/gallery/ID` opens a record. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { plural } from "../format.js";
import { html } from "../html.js";
import { AppliedFilters, conditionsOf, Filters, isEmpty } from "../parts/filters.js";
import { Icon } from "../parts/icon.js";
import { Loaded } from "../parts/loaded.js";
import { Pager, usePages } from "../parts/pager.js";
import { Empty } from "../parts/states.js";
import { go, href } from "../route.js";
import { useStore } from "../store.js";
import { Cards } from "./cards.js";
import { galleryVersion } from "./changes.js";
import { DeletionsDialog } from "./deletions_dialog.js";
import { EnrolButton, EnrolDialog } from "./enrol_dialog.js";
import { GalleryMap } from "./map.js";
import { RecordDialog } from "./record_dialog.js";
import { useSelection } from "./selection.js";
import { SelectionBar } from "./selection_bar.js";
import { Statistics, Totals } from "./statistics.js";

const PAGE = 60;
const MOST_NAMES = 1000;
const WIDE = "(min-width: 64rem)";

export function View({ rest, query }) {
  const conditions = useMemo(() => conditionsOf(query), [query]);
  const conditionsText = JSON.stringify(conditions);
  const version = useStore(galleryVersion);
  const pages = usePages([conditionsText]);
  const page = useResource(
    (signal) => call("gallery", { query: { ...conditions, limit: PAGE, cursor: pages.cursor }, signal }),
    [conditionsText, pages.cursor, version],
  );
  const stats = useResource((signal) => call("gallery/stats", { query: { limit: MOST_NAMES }, signal }), [version]);
  const records = page.data?.records ?? [];
  const selection = useSelection(records, conditionsText);
  const [shown, setShown] = useState(() => ({ statistics: matchMedia(WIDE).matches }));
  const [dialog, setDialog] = useState(null);
  // A page whose records have all been deleted: the one before has some.
  useEffect(() => {
    if (page.data && !page.loading && !records.length && pages.number > 1) pages.previous();
  }, [page.data]);

  const apply = (changed) => go(href("gallery", changed));
  const toggle = (name) => ({
    "aria-pressed": String(Boolean(shown[name])),
    onClick: () => setShown({ ...shown, [name]: !shown[name] }),
  });
  const total = page.data?.total;
  return html`
    <div class="view-head">
      <h1>Gallery</h1>
      <div class="row">
        <button class="button" onClick=${() => setDialog("deletions")}><${Icon} name="undo" />Deleted lately</button>
        <${EnrolButton} onClick=${() => setDialog("enrol")} />
      </div>
    </div>
    <${Totals} stats=${stats.data} />
    <div class="row spread">
      <div class="row" role="group" aria-label="What is shown">
        <button class="button" ...${toggle("filters")}><${Icon} name="filter" />Filters</button>
        <button class="button" ...${toggle("statistics")}><${Icon} name="chart" />Statistics</button>
        <button class="button" ...${toggle("map")}><${Icon} name="map" />Map</button>
        <button class="button" ...${toggle("aligned")}><${Icon} name="turn" />Aligned</button>
      </div>
      <span class="figures soft" role="status">
        ${page.data && `${plural(total, "record")}${isEmpty(conditions) ? "" : " pass"}`}
      </span>
    </div>
    ${shown.filters && html`<div class="card padded"><${Filters} conditions=${conditions} onChange=${apply} /></div>`}
    <${AppliedFilters} conditions=${conditions} onChange=${apply} />
    <div class=${shown.statistics ? "gallery-columns" : "stack"}>
      ${shown.statistics && html`
        <${Loaded} resource=${stats}>
          ${(data) => html`<${Statistics} stats=${data} conditions=${conditions} onChange=${apply} />`}
        <//>
      `}
      <div class="stack">
        ${shown.map && html`<${GalleryMap} conditions=${conditions} version=${version} onChange=${apply} />`}
        <${Loaded} resource=${page} text="Reading the gallery">
          ${() => html`
            <${Records} records=${records} busy=${page.loading} conditions=${conditions} selection=${selection}
              aligned=${Boolean(shown.aligned)} onEnrol=${() => setDialog("enrol")} onClear=${() => apply({})} />
          `}
        <//>
        ${page.data && html`
          <${Pager} pages=${pages} nextCursor=${page.data.next_cursor} total=${total} size=${PAGE} />
        `}
      </div>
    </div>
    <${SelectionBar} selection=${selection} conditions=${conditions} total=${total ?? 0} pageSize=${records.length}
      stats=${stats.data} />
    ${dialog === "enrol" && html`<${EnrolDialog} stats=${stats.data} onClose=${() => setDialog(null)} />`}
    ${dialog === "deletions" && html`<${DeletionsDialog} onClose=${() => setDialog(null)} />`}
    ${rest[0] && html`
      <${RecordDialog} id=${rest[0]} records=${records} stats=${stats.data} conditions=${conditions} />
    `}
  `;
}

function Records({ records, busy, conditions, selection, aligned, onEnrol, onClear }) {
  if (records.length) {
    return html`
      <${Cards} records=${records} conditions=${conditions} selection=${selection} aligned=${aligned} busy=${busy} />
    `;
  }
  if (!isEmpty(conditions)) {
    return html`
      <${Empty} icon="filter" title="No record passes these conditions">
        <button class="button" onClick=${onClear}>Show all records</button>
      <//>
    `;
  }
  return html`
    <${Empty} icon="upload" title="The gallery is empty">
      Enrol pictures of vehicles: crops of one vehicle each. Every one is found by the next query.
      <br /><br /><button class="button primary" onClick=${onEnrol}>Enrol files</button>
    <//>
  `;
}
