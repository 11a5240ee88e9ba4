/** The whole page: header, notices, and the view that the address names, loaded when it is first shown. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../html.js";
import { Empty, Failure, Loading } from "../parts/states.js";
import { Toasts } from "../parts/toasts.js";
import { route } from "../route.js";
import { useStore } from "../store.js";
import { Banner } from "./banner.js";
import { Header } from "./header.js";
import { KeyDialog } from "./key_dialog.js";

/** Each view: what its tab says, its icon, and the module whose `View` draws it. */
export const VIEWS = {
  query: { title: "Query", icon: "search", load: () => import("../query/view.js") },
  gallery: { title: "Gallery", icon: "grid", load: () => import("../gallery/view.js") },
  groups: { title: "Groups", icon: "group", load: () => import("../groups/view.js") },
  jobs: { title: "Jobs", icon: "jobs", load: () => import("../jobs/view.js") },
  quality: { title: "Quality", icon: "chart", load: () => import("../quality/view.js") },
};

export function App() {
  const { view, rest, query } = useStore(route);
  const main = useRef(null);
  const shown = useRef(view);
  useEffect(() => {
    document.title = `${VIEWS[view]?.title ?? "Not found"} · SANet Retrieval`;
    if (shown.current !== view) main.current?.focus();
    shown.current = view;
  }, [view]);
  return html`
    <a class="button skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current?.focus())}>
      Skip to content
    </a>
    <${Header} views=${VIEWS} current=${view} />
    <${Banner} />
    <main class="main" id="main" tabindex="-1" ref=${main}>
      ${VIEWS[view]
        ? html`<${Lazy} key=${view} load=${VIEWS[view].load} rest=${rest} query=${query} />`
        : html`<${Empty} icon="search" title="There is no such page"><a href="#/query">Look for a vehicle</a><//>`}
    </main>
    <${KeyDialog} />
    <${Toasts} />
  `;
}

/** A view, once its module is here. */
function Lazy({ load, ...properties }) {
  const [loaded, setLoaded] = useState({});
  const start = () => load().then((module) => setLoaded({ View: module.View }), (problem) => setLoaded({ problem }));
  useEffect(() => void start(), []);
  if (loaded.problem) return html`<${Failure} problem=${loaded.problem} retry=${start} />`;
  return loaded.View ? html`<${loaded.View} ...${properties} />` : html`<${Loading} />`;
}
