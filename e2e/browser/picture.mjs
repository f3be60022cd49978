// A picture of a page: BROWSER_TOOLS=DIR node picture.mjs URL FILE. The demo should have played for some minutes.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import path from 'node:path';

const { chromium } = createRequire(path.join(process.env.BROWSER_TOOLS, 'package.json'))('playwright-core');
const [url, file] = process.argv.slice(2);
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
const page = await (await browser.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: 'light' })).newPage();
await page.goto(url);
await page.screenshot({ path: file });
await browser.close();
