import { beforeAll, describe, expect, it, vi } from "vitest";

describe("addresses", () => {
  let route: typeof import("./route.svelte");
  beforeAll(async () => {
    // What a browser has when somebody opens `/`.
    vi.stubGlobal("location", { hash: "", pathname: "/", search: "" });
    vi.stubGlobal("addEventListener", () => undefined);
    route = await import("./route.svelte");
  });

  it("of a site hold its tank, and come back as they went", () => {
    expect(route.toSite("S-1")).toBe("#/site/S-1");
    expect(route.parse(route.toSite("S-1"))).toEqual({ at: "site", site: "S-1" });
    expect(route.parse(route.toSite("S/1", "2 a"))).toEqual({ at: "site", site: "S/1", tank: "2 a" });
    expect(route.parse("#/site/")).toEqual({ at: "page" });
  });

  it("that are typed as a path open the same", () => {
    expect(["/sites/S-1", "/sites/S-1/2", "/contracts/C-1", "/", "/sites/", "/other/x"].map(route.fromPath)).toEqual(["#/site/S-1", "#/site/S-1/2", "#/contract/C-1", "", "", ""]);
  });
});
