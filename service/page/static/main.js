/** Starts the page. */
import { render } from "preact";
import { checkConnection } from "./api/connection.js";
import { html } from "./html.js";
import { App } from "./shell/app.js";

checkConnection();
render(html`<${App} />`, document.getElementById("app"));
