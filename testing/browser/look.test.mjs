// How the chat page looks to those who see it badly or not at all, on a desktop and on a phone, in the light and in the dark: axe-core
// must find nothing. And what a first visit is like. On the backend that the environment names (see support.mjs).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { backend, startServer } from "./support.mjs";

const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const NARROW = { ...PHONE, viewport: { width: 320, height: 568 } };
// This one is not among those that axe runs by itself.
const RULES = { "label-content-name-mismatch": { enabled: true } };

describe(`the look of the chat page on ${backend}`, () => {
  let browser;
  before(async () => {
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  });
  after(() => browser?.close());

  /** A first visit: there is no name yet. */
  async function visit(server, room, options) {
    // the page's policy keeps axe out; without transitions nothing is looked at while it fades
    const context = await browser.newContext({ bypassCSP: true, reducedMotion: "reduce", ...options });
    const page = await context.newPage();
    await page.goto(`${server.url}/#${room}`);
    await page.waitForSelector("#profile[open]");
    return page;
  }

  async function enter(page, name) {
    await page.fill("#name", name);
    await page.press("#name", "Enter");
    await page.waitForSelector("body[data-state=connected] .person", { state: "attached" });
  }

  async function say(page, text) {
    await page.fill("#text", text);
    await page.press("#text", "Enter");
  }

  /** What axe finds, one line for each element. */
  async function violations(page) {
    const found = await page.evaluate(async ([source, rules]) => {
      if (!globalThis.axe) (0, eval)(source);
      return (await globalThis.axe.run(document, { rules })).violations;
    }, [axe, RULES]);
    return found.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 150)}: ${node.failureSummary}`));
  }

  for (const [size, options] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    for (const colorScheme of ["light", "dark"]) {
      test(`axe finds nothing: ${size}, ${colorScheme}`, { timeout: 120000 }, async () => {
        const server = await startServer();
        try {
          const room = `${size}-${colorScheme}`;
          const ada = await visit(server, room, { ...options, colorScheme });
          const look = async (what) => assert.deepEqual(await violations(ada), [], what);
          await look("the first dialog");
          await enter(ada, "Ada Lovelace");
          await look("an empty room");
          await say(ada, "Hello");
          const bob = await visit(server, room, options);
          await enter(bob, "Bob");
          await say(bob, "Hello Ada, see https://example.com/");
          await ada.waitForSelector(".message:not(.own)");
          await ada.setInputFiles("#files", [{ name: "plan.pdf", mimeType: "application/pdf", buffer: Buffer.alloc(5000) }]);
          await ada.waitForSelector("#tray li");
          await look("a conversation, and a file to send");
          await ada.press("#text", "Enter");
          await ada.waitForSelector(".message[data-state=seen]:has(.attachment)");
          await bob.locator("#text").pressSequentially("I am");
          await ada.waitForSelector("#typing .dots");
          await look("a file, and somebody who is typing");
          await ada.evaluate(() => (location.hash = "#elsewhere"));
          await ada.waitForSelector('#title:text-is("#elsewhere")');
          await say(bob, "Still there?");
          await ada.waitForSelector(".room.unread .badge", { state: "attached" });
          if (size === "phone") await ada.tap("#open-rooms");
          await ada.waitForSelector("#rooms", { state: "visible" });
          await look("rooms with unread messages");
          await ada.click("#edit-profile");
          await look("the profile");
          await ada.keyboard.press("Escape");
          await ada.keyboard.press("Escape");
          if (size === "phone") await ada.tap("#open-people");
          await bob.close();
          await ada.evaluate((name) => (location.hash = `#${name}`), room);
          await ada.waitForSelector(".person.away", { state: "attached" });
          if (size === "phone") await ada.tap("#open-people");
          await look("somebody who is away");
          if (size === "phone") await ada.keyboard.press("Escape");
          await server.stop();
          await ada.waitForSelector("#banner:not([hidden])");
          await say(ada, "written offline");
          await ada.waitForSelector(".message[data-state=pending]");
          await look("a lost connection");
          await ada.context().close();
          await bob.context().close();
        } finally {
          await server.stop();
        }
      });
    }
  }

  test("a conversation is a log with a list in it", { timeout: 60000 }, async () => {
    const server = await startServer();
    try {
      const page = await visit(server, "list", DESKTOP);
      await enter(page, "Ada Lovelace");
      await say(page, "Hello");
      const log = page.getByRole("log", { name: "Messages in list" });
      assert.equal(await log.getByRole("list").getByRole("listitem").filter({ hasText: "Hello" }).count(), 1);
      await page.context().close();
    } finally {
      await server.stop();
    }
  });

  test("the link to a room can be copied on a narrow phone, also after the first message", { timeout: 60000 }, async () => {
    const server = await startServer();
    try {
      const page = await visit(server, "a-room-with-a-rather-long-name", NARROW);
      await enter(page, "Ada Lovelace");
      await say(page, "Hello");
      await page.waitForSelector(".message");
      await page.tap("#copy-link");
      await page.waitForSelector("#toast:has-text('ink')");
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
      await page.context().close();
    } finally {
      await server.stop();
    }
  });

  test("a first visit leaves no error in the console, and nothing looks like one", { timeout: 60000 }, async () => {
    // without the official client: asking for it would be one
    const server = await startServer({ env: { SOCKEYE__SERVER__CLIENT_DIR: undefined } });
    try {
      const context = await browser.newContext(DESKTOP);
      const page = await context.newPage();
      const complaints = [];
      page.on("console", (message) => complaints.push(message.text()));
      page.on("response", (response) => response.status() >= 400 && complaints.push(`${response.status()} ${response.url()}`));
      await page.goto(`${server.url}/`);
      await page.waitForSelector("#profile[open]");
      assert.equal(await page.textContent("#state"), "Not connected yet");
      assert.equal(await page.locator(".empty .primary").first().isVisible(), false);
      await enter(page, "Ada Lovelace");
      assert.deepEqual(complaints, []);
      await context.close();
    } finally {
      await server.stop();
    }
  });
});
