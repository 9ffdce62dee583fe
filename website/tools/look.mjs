// Opens every page of the built site in headless Chromium: on a desktop and on a phone, light and dark.
// It fails on a page that scrolls sideways, logs an error, or asks another host; pictures go to the folder given.
import { createReadStream, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { dirname, extname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const site = resolve(dirname(fileURLToPath(import.meta.url)), '../../target/website')
const pictures = process.argv[2] ?? '/tmp/gophership-website'
const only = process.argv.slice(3)
const TYPES = {
  '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml',
  '.json': 'application/json', '.woff2': 'font/woff2', '.yaml': 'text/plain', '.csv': 'text/plain',
}
const SIZES = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } }

const server = createServer((request, response) => {
  const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname)
  const file = [join(site, path), join(site, `${path}.html`), join(site, path, 'index.html')]
    .find((it) => it.startsWith(site) && existsSync(it) && statSync(it).isFile())
  if (!file) return response.writeHead(404).end()
  response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' })
  createReadStream(file).pipe(response)
})
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
const origin = `http://127.0.0.1:${server.address().port}`

function files(dir) {
  return readdirSync(dir, { withFileTypes: true }).flatMap((file) =>
    file.isDirectory() ? files(join(dir, file.name)) : [join(dir, file.name)])
}
const pages = files(site)
  .filter((file) => file.endsWith('.html') && !file.endsWith('404.html'))
  .map((file) => relative(site, file).replace(/(index)?\.html$/, ''))
  .filter((page) => only.length === 0 || only.includes(page || 'index'))

mkdirSync(pictures, { recursive: true })
const problems = []
const path = process.env.CHROMIUM ?? '/usr/bin/chromium'
const browser = await chromium.launch({ executablePath: path, args: ['--no-sandbox'] })
for (const [size, viewport] of Object.entries(SIZES)) {
  const tab = await browser.newPage({ viewport, reducedMotion: 'reduce' })
  let where = ''
  tab.on('console', (line) => line.type() === 'error' && problems.push(`${where}: console: ${line.text()}`))
  tab.on('pageerror', (error) => problems.push(`${where}: error: ${error.message}`))
  tab.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(origin) && !url.startsWith('data:')) problems.push(`${where}: asks ${url}`)
  })
  for (const page of pages) {
    where = `${page || 'index'} (${size})`
    await tab.emulateMedia({ colorScheme: 'light' })
    await tab.goto(`${origin}/${page}`, { waitUntil: 'networkidle' })
    const wide = await tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
    if (wide > 0) problems.push(`${where}: scrolls ${wide} pixels sideways`)
    for (const colorScheme of ['light', 'dark']) {
      await tab.emulateMedia({ colorScheme })
      const turned = (isDark) => document.documentElement.classList.contains('dark') === isDark
      await tab.waitForFunction(turned, colorScheme === 'dark', { timeout: 5000 })
        .catch(() => problems.push(`${where}: does not turn ${colorScheme}`))
      const name = `${(page || 'index').replaceAll('/', '-')}-${size}-${colorScheme}.png`
      await tab.screenshot({ path: join(pictures, name), fullPage: only.length > 0 })
    }
  }
  where = `search (${size})`
  await search(tab)
  await tab.close()
}
await browser.close()
server.close()

/** Searches for a word that one page is about. */
async function search(tab) {
  await tab.goto(`${origin}/`, { waitUntil: 'networkidle' })
  await tab.locator('.VPNavBarSearch button').first().click()
  await tab.locator('.VPLocalSearchBox input').fill('quarantine')
  const found = tab.locator('.VPLocalSearchBox .result')
  await found.first().waitFor({ timeout: 10000 }).catch(() => problems.push('the search finds nothing'))
}

for (const problem of problems) console.error(problem)
console.log(`${pages.length} pages in 4 forms, ${problems.length} problems, pictures in ${pictures}`)
process.exit(problems.length || pages.length === 0 ? 1 : 0)
