/** The whole page: header, notices, and the view that the address names, loaded when it is first shown. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { html } from "../html.js";
import { Lazy } from "../parts/lazy.js";
import { Empty } from "../parts/states.js";
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
  const known = Object.hasOwn(VIEWS, view) ? VIEWS[view] : null;
  const main = useRef(null);
  const shown = useRef(view);
  useLayoutEffect(() => {
    document.title = `${known?.title ?? "Not found"} · SANet Retrieval`;
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
      ${known
        ? html`<${Lazy} key=${view} load=${known.load} name="View" rest=${rest} query=${query} />`
        : html`
            <h1 class="hidden-visually">Not found</h1>
            <${Empty} icon="search" title="There is no such page"><a href="#/query">Look for a vehicle</a><//>
          `}
    </main>
    <${KeyDialog} />
    <${Toasts} />
  `;
}
