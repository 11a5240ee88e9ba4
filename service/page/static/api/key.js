/** The API key: kept for this tab alone, so that a shared machine forgets it when the tab is closed. */
import { Store } from "../store.js";

const NAME = "sanet-key";

export const key = new Store(sessionStorage.getItem(NAME));
/** What the key dialog says, or null while it is closed. */
export const keyAsked = new Store(null);

key.listen((value) => (value ? sessionStorage.setItem(NAME, value) : sessionStorage.removeItem(NAME)));
