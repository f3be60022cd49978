// Opens every page in Chromium: BASE_URL=http://localhost:8010 BROWSER_TOOLS=DIR SCREENSHOTS=DIR node run.mjs
//
// Pages are found by their links. Of pages that differ only by names and numbers, a few are taken. Each is opened
// light, dark and on a phone, one window for each look (axe's other mode opens and closes windows, which ends Chromium
// when there is but one). A page fails by a console error, a failed request, a violation that axe finds, or by
// being wider than a phone. The last line is a JSON summary; the exit code is 1 when anything failed.
import { createRequire } from 'node:module';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';

const tools = createRequire(path.join(process.env.BROWSER_TOOLS, 'package.json'));
const { chromium } = tools('playwright-core');
const { AxeBuilder } = tools('@axe-core/playwright');

const base = new URL(process.env.BASE_URL);
const shots = process.env.SCREENSHOTS;
const samples = Number(process.env.SAMPLES ?? 2);
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const looks = [
  { name: 'light', viewport: { width: 1280, height: 900 }, colorScheme: 'light' },
  { name: 'dark', viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
  { name: 'phone', viewport: { width: 390, height: 844 }, colorScheme: 'light', isMobile: true, hasTouch: true },
];

// /builders/x/builds/7?a=b is like /builders/*/builds/*?a
const like = (url) => {
  const place = url.pathname.replace(/^\/(builders|workers|buildslaves|static)\/[^/]+/, '/$1/*')
    .replace(/\/(steps|logs)\/[^/]+/g, '/$1/*').replace(/\/-?\d+/g, '/*');
  const keys = [...new Set(url.searchParams.keys())].sort().join('&');
  return keys ? `${place}?${keys}` : place;
};

// Not pages: streams, downloads, actions.
const other = (url) => /\/(text|raw|events|stream|live)$|\.(css|js|png|ico|txt|svg)$/.test(url.pathname) || url.searchParams.has('reload');

const faults = [];
const seen = new Map();
const queue = [new URL('/', base)];
const listed = new Set([queue[0].href]);
let opened = 0;
mkdirSync(shots, { recursive: true });
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--force-prefers-reduced-motion'] });
try {
  const contexts = [];
  let fault = () => {};
  for (const { name, ...options } of looks) {
    const page = await (await browser.newContext(options)).newPage();
    page.on('console', (message) => { if (message.type() === 'error') fault(`console: ${message.text()}`); });
    page.on('pageerror', (error) => fault(`script: ${error.message}`));
    page.on('response', (response) => { if (response.status() >= 400) fault(`${response.status()} ${response.url()}`); });
    contexts.push([name, page]);
  }
  const visit = async (page, look, url) => {
    const kind = like(url);
    const answer = await page.goto(url.href, { waitUntil: 'load', timeout: 30000 });
    opened += 1;
    if (!(answer.headers()['content-type'] ?? '').startsWith('text/html')) return;
    const found = await new AxeBuilder({ page }).setLegacyMode(true).analyze();
    for (const { id, nodes } of found.violations) fault(`axe ${id}: ${nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(' | ')}`);
    if (look === 'phone') {
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (wide > 1) fault(`${wide} px wider than the screen`);
    }
    if (seen.get(kind) === 1) {
      const file = kind.replaceAll('/', '_').replaceAll(/[^\w.*=&?-]/g, '').replaceAll('*', 'x').replaceAll('?', '-') || '_';
      await page.screenshot({ path: path.join(shots, `${file}-${look}.png`) });
    }
    if (look !== 'light') return;
    for (const href of await page.$$eval('a[href]', (links) => links.map((a) => a.href))) {
      const next = new URL(href);
      next.hash = '';
      if (next.origin !== base.origin || other(next) || listed.has(next.href)) continue;
      listed.add(next.href);
      queue.push(next);
    }
  };
  while (queue.length) {
    const url = queue.shift();
    const kind = like(url);
    const count = seen.get(kind) ?? 0;
    if (count >= samples) continue;
    seen.set(kind, count + 1);
    for (const [look, page] of contexts) {
      // Further samples are for errors; the first of a kind is looked at in every way.
      if (count > 0 && look !== 'light') continue;
      fault = (what) => faults.push({ page: url.pathname + url.search, look, what });
      try {
        await visit(page, look, url).catch((error) => {
          // A waterfall that parts can't mend is loaded again by its script: once, not twice in a row.
          if (!/Execution context was destroyed/.test(error.message)) throw error;
          return visit(page, look, url);
        });
      } catch (error) {
        fault(`does not open: ${error.message.split('\n')[0]}`);
      }
    }
  }
} finally {
  await browser.close();
}
for (const { page, look, what } of faults) console.log(`${page} (${look}): ${what}`);
console.log(JSON.stringify({ kinds: [...seen.keys()].sort(), opened, faults: faults.length }));
process.exitCode = faults.length ? 1 : 0;
