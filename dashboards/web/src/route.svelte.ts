/** What is open beside the live page, kept in the address after `#`, so that it can be shared and "back" closes it. */
export type Route =
  | { at: "page" }
  | { at: "decision"; id: string }
  | { at: "contract"; contract: string }
  | { at: "tank"; site: string; tank: string }
  | { at: "holds" };

export function parse(hash: string): Route {
  const [, at, first, second] = hash.split("/").map(decoded);
  if (at === "decision" && first) return { at, id: first };
  if (at === "contract" && first) return { at, contract: first };
  if (at === "holds") return { at };
  if (at === "tank" && first && second) return { at, site: first, tank: second };
  return { at: "page" };
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
export const toTank = (site: string, tank: string): string => address("tank", site, tank);

class Router {
  route = $state.raw<Route>(parse(location.hash));

  constructor() {
    addEventListener("hashchange", () => (this.route = parse(location.hash)));
  }

  open(hash: string): void {
    if (location.hash !== hash) location.hash = hash;
  }

  close(): void {
    if (location.hash === "") return;
    history.pushState(null, "", location.pathname + location.search);
    this.route = { at: "page" };
  }
}

export const router = new Router();
