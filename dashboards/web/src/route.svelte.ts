/** What is open beside the live page, kept in the address after `#`, so that it can be shared and "back" closes it. */
export type Route =
  | { at: "page" }
  | { at: "decision"; id: string }
  | { at: "contract"; contract: string }
  | { at: "tank"; site: string; tank: string }
  | { at: "site"; site: string; tank?: string }
  | { at: "holds" };

export function parse(hash: string): Route {
  const [, at, first, second] = hash.split("/").map(decoded);
  if (at === "decision" && first) return { at, id: first };
  if (at === "contract" && first) return { at, contract: first };
  if (at === "holds") return { at };
  if (at === "tank" && first && second) return { at, site: first, tank: second };
  if (at === "site" && first) return second ? { at, site: first, tank: second } : { at, site: first };
  return { at: "page" };
}

/** A path that somebody typed or mailed, `/sites/S-1`, as the part after `#`; empty for others. */
export function fromPath(path: string): string {
  const [, at, first, second] = path.split("/").map(decoded);
  if (at === "sites" && first) return second ? address("site", first, second) : address("site", first);
  return at === "contracts" && first ? address("contract", first) : "";
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const address = (...parts: string[]): string => `#/${parts.map(encodeURIComponent).join("/")}`;
export const toDecision = (id: string): string => address("decision", id);
export const toContract = (contract: string): string => address("contract", contract);
export const HOLDS = address("holds");
export const toSite = (site: string, tank?: string): string => (tank === undefined ? address("site", site) : address("site", site, tank));
export const toTank = (site: string, tank: string): string => address("tank", site, tank);

class Router {
  route = $state.raw<Route>(parse(location.hash));

  constructor() {
    const typed = fromPath(location.pathname);
    if (typed !== "" && location.hash === "") {
      history.replaceState(null, "", `/${typed}`);
      this.route = parse(typed);
    }
    addEventListener("hashchange", () => (this.route = parse(location.hash)));
  }

  open(hash: string): void {
    if (location.hash !== hash) location.hash = hash;
  }

  /** Another part of what is open: "back" leaves it as a whole. */
  turn(hash: string): void {
    history.replaceState(null, "", hash);
    this.route = parse(hash);
  }

  close(): void {
    if (location.hash === "") return;
    history.pushState(null, "", location.pathname + location.search);
    this.route = { at: "page" };
  }
}

export const router = new Router();
