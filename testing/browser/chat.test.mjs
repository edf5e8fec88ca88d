// The chat page in Chromium: two people, with the official client and with sockeye.js, on the backend that the environment
// names (see support.mjs). Every page is reached through a proxy that can cut its connections. CHROMIUM names the browser,
// SCREENSHOTS the folder for pictures of the page (default .test/screenshots at the root of the repository).
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { backend, eventually, sleep, startProxy, startServer } from "./support.mjs";

const shots = process.env.SCREENSHOTS ?? fileURLToPath(new URL("../../.test/screenshots", import.meta.url));
const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

for (const client of ["official", "sockeye"]) {
  describe(`chat page on ${backend}, ${client} client`, () => {
    let server;
    let proxy;
    let browser;
    let room; // of its own for each test, so that nothing of the one before it is left in the way
    let rooms = 0;
    const contexts = [];
    const problems = []; // what the browser complained of

    before(async () => {
      mkdirSync(shots, { recursive: true });
      server = await startServer();
      proxy = await startProxy(server);
      browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
    });
    after(async () => {
      await browser?.close();
      await proxy?.stop();
      await server?.stop();
    });

    /** A page of somebody who has been here before (or, without a name, has not), in a browser profile of its own. */
    async function open(name, { color = "#7e3fbf", through = proxy.url, ready = true, websocket = true, ...options } = {}) {
      const context = await browser.newContext({ ...DESKTOP, ...options });
      if (!websocket) await context.addInitScript(() => delete globalThis.WebSocket);
      contexts.push(context);
      if (name) {
        await context.addInitScript((profile) => {
          if (!localStorage.getItem("sockeye-chat")) localStorage.setItem("sockeye-chat", JSON.stringify(profile));
        }, { name, color, rooms: [room] });
      }
      const page = await context.newPage();
      page.on("pageerror", (error) => problems.push(String(error)));
      page.on("console", (message) => {
        const text = message.text();
        // failing requests are part of the scenarios that cut connections
        if (message.type() === "error" && !/Failed to load resource|ERR_|WebSocket connection/.test(text)) problems.push(text);
      });
      await page.goto(`${through}/?client=${client}#${room}`);
      if (ready && name) await page.waitForSelector("body[data-state=connected] .person", { state: "attached" });
      return page;
    }

    async function pair(options = {}) {
      const ada = await open("Ada Lovelace", options);
      const bob = await open("Bob", { color: "#0f766e", ...options });
      await person(ada, "Bob").waitFor();
      await person(bob, "Ada Lovelace").waitFor();
      return [ada, bob];
    }

    const scenario = (name, body) =>
      test(name, { timeout: 60000 }, async () => {
        rooms += 1;
        room = `${client}-${rooms}`;
        try {
          await body();
          assert.deepEqual(problems, []);
        } finally {
          problems.length = 0;
          for (const context of contexts.splice(0)) await context.close();
        }
      });

    scenario("asks for a name, suggests one, and remembers it", async () => {
      const page = await open(null, { ready: false });
      await page.waitForSelector("#profile[open]");
      assert.match(await page.inputValue("#name"), /^\w+ \w+$/);
      await page.screenshot({ path: `${shots}/${client}-profile.png` });
      await page.fill("#name", "Grace Hopper");
      await page.press("#name", "Enter");
      await person(page, "Grace Hopper").waitFor();
      assert.equal(await page.textContent("#me"), "GHGrace Hopper");
      assert.equal(await page.textContent("#client"), client === "official" ? "socket.io-client" : "sockeye.js");
      await page.reload();
      await person(page, "Grace Hopper").waitFor();
      assert.equal(await page.isVisible("#profile"), false);
      await eventually(async () => (await page.textContent("#transport")) === "websocket", "the upgrade");
    });

    scenario("carries messages both ways, with names, in order", async () => {
      const [ada, bob] = await pair();
      await say(ada, "Hello Bob");
      await said(bob, "Hello Bob").waitFor();
      assert.equal(await bob.textContent(".message .name"), "Ada Lovelace");
      await say(bob, "Hello Ada, see https://example.com/a?b=1. <b>not bold</b>");
      await said(ada, "<b>not bold</b>").waitFor();
      assert.equal(await ada.getAttribute(".bubble a", "href"), "https://example.com/a?b=1");
      for (let n = 1; n <= 20; n++) await say(ada, `line ${n}`);
      await said(bob, "line 20").waitFor();
      assert.deepEqual((await texts(bob)).filter((text) => text.startsWith("line")), Array.from({ length: 20 }, (_, n) => `line ${n + 1}`));
      assert.equal(await ada.locator(".message.own").count(), 21);
    });

    scenario("ticks: sent when the server has it, seen when somebody has it on the screen", async () => {
      const ada = await open("Ada Lovelace");
      await say(ada, "Anybody?");
      await state(ada, "Anybody?", "sent");
      const bob = await open("Bob");
      await say(ada, "Hello Bob");
      await state(ada, "Hello Bob", "seen");
      assert.equal(await said(ada, "Hello Bob").locator(".ticks").getAttribute("title"), "Seen by Bob");
      await go(bob, `${room}-other`);
      await say(ada, "Still here?");
      await bob.waitForSelector(`.room.unread[data-room="${room}"] .badge`);
      await state(ada, "Still here?", "sent");
      await go(bob, room);
      await state(ada, "Still here?", "seen");
    });

    scenario("stays where one reads, counts what comes below, and calls that seen only when it is", async () => {
      const [ada, bob] = await pair();
      for (let n = 1; n <= 30; n++) await say(ada, `line ${n}`);
      await state(ada, "line 30", "seen");
      const offset = () => bob.locator(".log:not([hidden])").evaluate((log) => log.scrollHeight - log.clientHeight - log.scrollTop);
      assert.ok((await offset()) < 2);
      await bob.locator(".log:not([hidden])").evaluate((log) => (log.scrollTop = 200));
      await eventually(async () => (await offset()) > 60, "the scrolling");
      await sleep(100);
      await say(ada, "further down");
      await bob.waitForSelector("#newer:not([hidden]):has-text('1 new message')");
      await state(ada, "further down", "sent");
      await bob.click("#newer");
      await state(ada, "further down", "seen");
      await bob.waitForSelector("#newer", { state: "hidden" });
      await bob.setInputFiles("#files", [{ name: "a.txt", mimeType: "text/plain", buffer: Buffer.alloc(10) }]);
      await bob.waitForSelector("#tray li");
      await eventually(async () => (await offset()) < 2, "the end to stay in view");
    });

    scenario("shows who is typing, and stops showing it", async () => {
      const [ada, bob] = await pair();
      await ada.locator("#text").pressSequentially("Hel");
      await bob.waitForSelector("#typing:has-text('Ada Lovelace is typing')");
      await ada.fill("#text", "");
      await eventually(async () => (await bob.textContent("#typing")) === "", "the end of typing");
    });

    scenario("shows who is here, who comes and who goes", async () => {
      const [ada, bob] = await pair();
      assert.equal(await ada.textContent("#people-heading"), "Here now · 2");
      assert.equal(await ada.textContent("#subtitle"), "Bob and you");
      const cyrus = await open("Cyrus");
      await person(ada, "Cyrus").waitFor();
      await ada.waitForSelector(".note:text('Cyrus joined')");
      await cyrus.close();
      await ada.waitForSelector(".person.away[data-person=Cyrus]");
      await ada.waitForSelector(".note:text('Cyrus left')", { timeout: 15000 });
      assert.equal(await person(ada, "Cyrus").count(), 0);
      await bob.reload();
      await bob.waitForSelector("body[data-state=connected] .person");
      await sleep(500);
      assert.equal(await person(ada, "Bob").count(), 1);
      assert.equal(await ada.locator(".note:text('Bob left')").count(), 0);
    });

    scenario("keeps rooms apart, with unread counts", async () => {
      const [ada, bob] = await pair();
      await ada.fill("#room-name", `${room} Second`);
      await ada.press("#room-name", "Enter");
      await ada.waitForSelector(`#title:text("#${room}-second")`);
      await go(bob, `${room}-second`);
      await person(ada, "Bob").waitFor();
      await say(ada, "only in the second");
      await said(bob, "only in the second").waitFor();
      await go(ada, room);
      assert.deepEqual(await texts(ada), []);
      await say(bob, "one");
      await say(bob, "two");
      await ada.waitForSelector(`.room[data-room="${room}-second"] .badge:text("2")`);
      await eventually(async () => (await ada.title()).startsWith("(2) "), "the count in the title");
      await go(ada, `${room}-second`);
      assert.deepEqual(await texts(ada), ["only in the second", "one", "two"]);
      assert.equal(await ada.locator(".room .badge").count(), 0);
      await ada.hover(`.room[data-room="${room}-second"]`);
      await ada.click(`.room[data-room="${room}-second"] .leave`);
      await bob.waitForSelector(".person.away[data-person='Ada Lovelace']");
    });

    scenario("carries pictures and files intact, by choosing, pasting and dropping", async () => {
      // the page's policy keeps scripts from reading back what is shown, and that is what this test does
      const [ada, bob] = await pair({ bypassCSP: true });
      const picture = await drawing(ada, 640, 400);
      await ada.setInputFiles("#files", [{ name: "graph.png", mimeType: "image/png", buffer: picture }]);
      await ada.waitForSelector("#tray li:has-text('graph.png')");
      await ada.fill("#text", "with a word");
      await ada.press("#text", "Enter");
      await bob.waitForSelector("img[data-file='graph.png']");
      await said(bob, "with a word").waitFor();
      assert.equal(await hash(bob, "img[data-file='graph.png']"), digest(picture));
      await bob.click("img[data-file='graph.png']");
      await bob.waitForSelector("#viewer[open] img");
      await bob.keyboard.press("Escape");

      const bytes = Buffer.from(Array.from({ length: 200000 }, (_, i) => (i * 31) % 256));
      for (const [kind, name] of [["paste", "pasted.bin"], ["drop", "dropped.bin"]]) {
        await bob.evaluate(([type, file, content]) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(content)], file, { type: "application/octet-stream" }));
          const init = { bubbles: true, cancelable: true };
          document.getElementById("chat").dispatchEvent(
            type === "paste" ? new ClipboardEvent("paste", { ...init, clipboardData: data }) : new DragEvent("drop", { ...init, dataTransfer: data }));
        }, [kind, name, [...bytes]]);
        await bob.waitForSelector(`#tray li:has-text('${name}')`);
        await bob.click("#send");
        await ada.waitForSelector(`a[data-file='${name}']`);
        assert.equal(await hash(ada, `a[data-file='${name}']`), digest(bytes));
        await bob.waitForSelector(`.message[data-state=seen]:has([data-file='${name}'])`);
      }
    });

    scenario("works where nothing but polling gets through", async () => {
      const ada = await open("Ada Lovelace", { websocket: false });
      const bob = await open("Bob");
      await say(ada, "by polling");
      await state(ada, "by polling", "seen");
      const bytes = Buffer.alloc(700000, "0123456789");
      await ada.setInputFiles("#files", [{ name: "numbers.txt", mimeType: "text/plain", buffer: bytes }]);
      await ada.waitForSelector("#tray li");
      await ada.click("#send");
      await bob.waitForSelector("a[data-file='numbers.txt']");
      await say(bob, "got it");
      await said(ada, "got it").waitFor();
      assert.equal(await ada.textContent("#transport"), "polling");
    });

    scenario("leaves a room while offline", async () => {
      const [ada, bob] = await pair();
      await say(ada, "so that there is something to recover from");
      await said(bob, "something to recover from").waitFor();
      await say(bob, "and here");
      await said(ada, "and here").waitFor();
      await go(ada, `${room}-other`);
      await sleep(100);
      const cut = proxy.cut(500);
      await ada.waitForSelector("#banner:not([hidden])");
      await ada.hover(`.room[data-room="${room}"]`);
      await ada.click(`.room[data-room="${room}"] .leave`);
      await cut;
      await ada.waitForSelector("body[data-state=connected]", { timeout: 20000 });
      await bob.waitForSelector("body[data-state=connected]", { timeout: 20000 });
      await eventually(async () => (await person(bob, "Ada Lovelace").count()) === 0, "Ada to be gone", 15000);
    });

    scenario("makes large pictures smaller and refuses large files in words", async () => {
      const [ada, bob] = await pair();
      const large = await drawing(ada, 1600, 1200, true);
      assert.ok(large.length > 1e6);
      await ada.setInputFiles("#files", [
        { name: "photo.png", mimeType: "image/png", buffer: large },
        { name: "movie.mp4", mimeType: "video/mp4", buffer: Buffer.alloc(3e6) },
      ]);
      await ada.waitForSelector("#problem:has-text('movie.mp4 is too large: 3.0 MB, and at most')");
      await ada.waitForSelector("#tray li:has-text('photo.jpg')");
      await ada.click("#send");
      const image = bob.locator("img[data-file='photo.jpg']");
      await image.waitFor();
      await eventually(() => image.evaluate((node) => node.naturalWidth > 500), "the picture");
      await ada.waitForSelector(".message[data-state=seen]:has([data-file='photo.jpg'])");
    });

    scenario("misses nothing after a short drop, and sends what was written meanwhile", async () => {
      const ada = await open("Ada Lovelace");
      const bob = await open("Bob", { through: server.url }); // not through the proxy: stays
      await say(bob, "before");
      await said(ada, "before").waitFor();
      await eventually(async () => (await ada.textContent("#transport")) === "websocket", "the upgrade");
      await sleep(100);
      const cut = proxy.cut(1500);
      await ada.waitForSelector(".note:text('Connection lost')");
      await ada.waitForSelector("#banner:not([hidden])");
      await say(bob, "during 1");
      await say(bob, "during 2");
      await say(ada, "written offline");
      await state(ada, "written offline", "pending");
      assert.equal(await ada.textContent("#transport"), "offline");
      await ada.screenshot({ path: `${shots}/${client}-offline.png` });
      await cut;
      await ada.waitForSelector(".note:text-matches('^Back after \\\\d+ s, nothing missed$')", { timeout: 20000 });
      await state(ada, "written offline", "seen");
      assert.deepEqual(await texts(ada), ["before", "written offline", "during 1", "during 2"]);
      assert.deepEqual(await texts(bob), ["before", "during 1", "during 2", "written offline"]);
      assert.equal(await ada.isVisible("#banner"), false);
      await say(bob, "after");
      await said(ada, "after").waitFor();
    });

    if (backend !== "url") {
      scenario("comes back after a restart of the server, and says what that means", async () => {
        const [ada, bob] = await pair();
        await say(ada, "before");
        await state(ada, "before", "seen");
        const restarted = server.restart(1000);
        await ada.waitForSelector(".note:text('Connection lost')");
        await say(ada, "written offline");
        await restarted;
        const lost = ".note:text-matches('^Reconnected after \\\\d+ s; messages sent meanwhile may be missing$')";
        await ada.waitForSelector(lost, { timeout: 20000 });
        await bob.waitForSelector(lost, { timeout: 20000 });
        await eventually(async () => ["sent", "seen"].includes(await stateOf(ada, "written offline")), "the outbox to go out", 20000);
        await person(ada, "Bob").waitFor();
        await eventually(async () => (await ada.locator(".person:not(.away)").count()) === 2, "both to be back");
        await say(bob, "after");
        await said(ada, "after").waitFor();
        await say(ada, "and back");
        await state(ada, "and back", "seen");
      });
    }

    scenario("works on a phone", async () => {
      const ada = await open("Ada Lovelace");
      const bob = await open("Bob", { ...PHONE, color: "#0f766e" });
      await say(ada, "How does it look on a phone?");
      await said(bob, "How does it look").waitFor();
      assert.equal(await bob.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
      assert.equal(await bob.isVisible("#rooms"), false);
      await bob.tap("#open-rooms");
      await bob.waitForSelector("#room-name");
      await bob.fill("#room-name", `${room}-pocket`);
      await bob.tap("#room-form button");
      await bob.waitForSelector(`#title:text("#${room}-pocket")`);
      await eventually(async () => !(await bob.isVisible("#rooms")), "the rooms to close");
      await say(ada, "And here?");
      await bob.waitForSelector("#elsewhere:text('1')");
      await bob.tap("#open-people");
      await person(bob, "Bob").waitFor({ state: "visible" });
      await bob.locator("#people-panel [data-close]").tap();
    });

    scenario("has names and roles for those who do not see it, and can be used with the keyboard", async () => {
      const ada = await open("Ada Lovelace");
      await say(ada, "Hello");
      const unnamed = await ada.evaluate(() =>
        [...document.querySelectorAll("button, input, textarea, a")]
          .filter((node) => !(node.ariaLabel || node.textContent.trim() || node.labels?.length))
          .map((node) => node.outerHTML));
      assert.deepEqual(unnamed, []);
      assert.equal(await ada.getByRole("log", { name: `Messages in ${room}` }).count(), 1);
      await go(ada, `${room}-b`);
      await ada.keyboard.press("Alt+ArrowUp");
      await ada.waitForSelector(`#title:text-is("#${room}")`);
      await ada.focus("#text");
      await ada.keyboard.type("first line");
      await ada.keyboard.press("Shift+Enter");
      await ada.keyboard.type("second line");
      await ada.keyboard.press("Enter");
      await said(ada, "second line").waitFor();
    });

    scenario("has its picture taken", async () => {
      const looks = {};
      for (const colorScheme of ["light", "dark"]) {
        looks[`${colorScheme}-desktop`] = await open(colorScheme === "light" ? "Ada Lovelace" : "Cyrus Okafor", { colorScheme, color: colorScheme === "light" ? "#7e3fbf" : "#c2410c" });
        looks[`${colorScheme}-phone`] = await open(colorScheme === "light" ? "Bob" : "Dee", { ...PHONE, colorScheme, color: colorScheme === "light" ? "#0f766e" : "#1d6fb8" });
      }
      const [ada, bob, cyrus, dee] = Object.values(looks);
      for (const page of Object.values(looks)) await page.waitForSelector("#people-heading:text-is('Here now · 4')", { state: "attached" });
      await say(ada, "Morning! The new node has been in the pool since 08:40.");
      await say(bob, "Nice. Any client complaints?");
      await say(cyrus, "None. The phones reconnected during the swap and every one of them was recovered.");
      await said(dee, "every one of them").waitFor();
      await say(dee, "🎉");
      await said(ada, "🎉").waitFor();
      await ada.setInputFiles("#files", [{ name: "memory.png", mimeType: "image/png", buffer: await drawing(ada, 900, 420) }]);
      await ada.waitForSelector("#tray li");
      await ada.press("#text", "Enter");
      await cyrus.waitForSelector("img[data-file='memory.png']");
      await cyrus.setInputFiles("#files", [{ name: "rollout-plan.pdf", mimeType: "application/pdf", buffer: Buffer.alloc(48213) }]);
      await cyrus.waitForSelector("#tray li");
      await cyrus.press("#text", "Enter");
      await ada.waitForSelector("a[data-file='rollout-plan.pdf']");
      await say(bob, "Perfect, thank you both!");
      await said(dee, "Perfect").waitFor();
      await dee.locator("#text").pressSequentially("I can t");
      await ada.waitForSelector("#typing:has-text('Dee is typing')");
      for (const [name, page] of Object.entries(looks)) await page.screenshot({ path: `${shots}/${client}-${name}.png` });
    });
  });
}

const said = (page, text) => page.locator(".log:not([hidden]) .message", { hasText: text });
const person = (page, name) => page.locator(`.person[data-person="${name}"]`);
const stateOf = (page, text) => said(page, text).getAttribute("data-state");
const state = (page, text, wanted) => eventually(async () => (await stateOf(page, text)) === wanted, `"${text}" to be ${wanted}`);

async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

async function go(page, room) {
  await page.evaluate((name) => (location.hash = `#${name}`), room);
  await page.waitForSelector(`#title:text-is("#${room}")`);
}

/** The texts of the messages in the open room, without their times. */
const texts = (page) =>
  page.locator(".log:not([hidden]) .bubble").evaluateAll((bubbles) =>
    bubbles.map((bubble) => [...bubble.childNodes].filter((node) => !node.classList?.contains("meta")).map((node) => node.textContent).join("")));

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** The digest of the bytes behind a picture or a link. */
async function hash(page, selector) {
  const content = await page.locator(selector).evaluate(async (node) => [...new Uint8Array(await (await fetch(node.src ?? node.href)).arrayBuffer())]);
  return digest(Buffer.from(content));
}

/** A PNG drawn in the page; `noisy` makes one that does not compress. */
async function drawing(page, width, height, noisy = false) {
  const content = await page.evaluate(
    async ([w, h, noise]) => {
      const canvas = Object.assign(document.createElement("canvas"), { width: w, height: h });
      const context = canvas.getContext("2d");
      const sky = context.createLinearGradient(0, 0, 0, h);
      sky.addColorStop(0, "#14384f");
      sky.addColorStop(1, "#0b1720");
      context.fillStyle = sky;
      context.fillRect(0, 0, w, h);
      context.lineWidth = 5;
      context.strokeStyle = "#ff7a5c";
      context.beginPath();
      for (let x = 0; x <= w; x += 6) context.lineTo(x, x < w * 0.46 ? h * 0.28 + 9 * Math.sin(x / 23) : h * 0.8 + 6 * Math.sin(x / 19));
      context.stroke();
      if (noise) {
        const image = context.getImageData(0, 0, w, h / 3);
        for (let i = 0; i < image.data.length; i++) if (i % 4 !== 3) image.data[i] = Math.random() * 256;
        context.putImageData(image, 0, 0);
      }
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
      const reader = new FileReader();
      reader.readAsDataURL(blob);
      await new Promise((resolve) => (reader.onload = resolve));
      return reader.result.split(",")[1];
    },
    [width, height, noisy],
  );
  return Buffer.from(content, "base64");
}
