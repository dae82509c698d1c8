#!/usr/bin/env python3
"""The pages of docs/ as a book.

    .ci/book.py preprocess            what mdBook runs, as book.toml says: links out of docs/ become the names of files
    .ci/book.py links BOOK            looks for each link of the rendered book
    .ci/book.py sdk FOLDER            looks in docs/moving-from-anyrtc.md for all that the vendor's SDK in FOLDER has
    .ci/book.py commands BIN [PAGE…]  runs the commands of the pages, with the rtm in BIN and the nats-server of NATS_SERVER

A block of `sh` is run as one script. In a block of `console` each line behind `$ ` is run, and the lines below it have to be among what
it prints; `…` stands for anything. What does not end goes on to the end of the page, as in a terminal of its own. A block whose first
line is `# FILE` is written to FILE. A block of `js` runs in Node with the vendor's SDK, which interop/ has; one of `python` has
to be a program. A block of `toml` has to be a
configuration that `rtm serve` takes, unless it is of a Cargo.toml.
"""

import html.parser
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.parse

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
SNIPPET = DOCS.parent / "interop" / "snippet.mjs"
LIMIT = 60

# Pages whose blocks are no commands, or run elsewhere, with the reason.
NOT_RUN = {
    "cli.md": "it lists forms of commands",
    "measurements.md": "they take an hour; CI builds what they run",
    "packages.md": "they install on the machine; steps of their own do that",
}

# How a command begins that runs elsewhere in CI, or installs something.
ELSEWHERE = ("cargo ", "npm ", "systemctl ")

# Addresses in the pages. Each run takes free ports in their place.
ADDRESSES = re.compile(r"(?<=127\.0\.0\.1:|localhost:)\d{4,5}\b|(?<=-p )\d{4,5}\b|(?<=127\.0\.0\.1\", )\d{4,5}\b|(?<=Port: )\d{4,5}\b")

# Where rtm serve listens unless it is told.
PUBLIC = "127.0.0.1:8080"


def preprocess():
    """Of mdBook's JSON on standard input: the same book, where links that lead out of docs/ are texts."""
    if len(sys.argv) > 3 and sys.argv[2] == "supports":
        return
    _, book = json.load(sys.stdin)
    for chapter in chapters(book.get("items") or book.get("sections")):
        folder = (DOCS / (chapter["path"] or "")).parent
        chapter["content"] = re.sub(r"(?<!!)\[([^\]\n]*)\]\(([^)\s]+)\)", lambda link: outward(folder, link), chapter["content"])
    json.dump(book, sys.stdout)


def outward(folder, link):
    text, target = link[1], link[2].split("#")[0]
    if "://" in target or not target:
        return link[0]
    path = (folder / target).resolve()
    if path.is_relative_to(DOCS):
        return link[0]
    name = path.relative_to(DOCS.parent)
    return text if str(name).endswith(text.strip("`")) or text.strip("`").endswith(str(name)) else f"{text} (`{name}`)"


def chapters(items):
    for item in items:
        if isinstance(item, dict) and "Chapter" in item:
            yield item["Chapter"]
            yield from chapters(item["Chapter"]["sub_items"])


class Page(html.parser.HTMLParser):
    """The links and the names of a rendered page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.names = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.names.add(value)
            elif name in ("href", "src") and value and tag in ("a", "img"):
                self.links.append(value)


def check_links(book):
    book = pathlib.Path(book).resolve()
    pages = {path: Page(path) for path in book.rglob("*.html")}
    if len(pages) < 10:
        sys.exit(f"{book} has {len(pages)} pages")
    broken, checked = [], 0
    for path, page in pages.items():
        # What mdBook makes by itself: all pages in one, with links as they are in each; and the page for what is not there.
        if path.name in ("print.html", "404.html", "toc.html"):
            continue
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            checked += 1
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            named = target in pages and parts.fragment not in ("", *pages[target].names)
            if not target.exists() or named:
                broken.append(f"{path.relative_to(book)}: {link}")
    print(f"{checked} links on {len(pages)} pages")
    if broken:
        sys.exit("these lead nowhere:\n" + "\n".join(sorted(set(broken))))


def check_sdk(folder):
    declarations = "\n".join(path.read_text() for path in pathlib.Path(folder).rglob("*.d.ts"))
    interfaces = re.findall(r"interface (?:I[A-Z]\w+|\w+Events) \{(.*?)\n\s*\}", re.sub(r"/\*.*?\*/", "", declarations, flags=re.S), re.S)
    names = {name for interface in interfaces for name in re.findall(r"^\s+(\w+)\(", interface, re.M)}
    if len(names) < 40:
        sys.exit(f"{folder} declares {len(names)} calls and events")
    page = (DOCS / "moving-from-anyrtc.md").read_text()
    if missing := [name for name in sorted(names) if not re.search(rf"[`.]{name}[(`]", page)]:
        sys.exit(f"docs/moving-from-anyrtc.md does not have {', '.join(missing)}")
    print(f"{len(names)} calls and events of the SDK")


def blocks(page):
    """The code blocks of a page: language and text."""
    found = re.findall(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", page, re.M | re.S)
    return [(language, textwrap.dedent(text)) for _, language, text in found]


class Terminal:
    """A folder in which the commands of a page run, one after the other."""

    def __init__(self, page, binaries):
        self.name, self.page, self.folder = page.name, page.read_text(), tempfile.mkdtemp()
        self.running, self.ports, self.seen = [], {}, {}
        self.settings = pathlib.Path(self.folder, ".settings")
        self.settings.touch()
        path = [binaries, os.path.dirname(os.environ.get("NATS_SERVER", "")), os.environ["PATH"]]
        self.environment = {**os.environ, "PATH": ":".join(filter(None, path)), "HOME": self.folder}
        for name in list(self.environment):
            if name.startswith("RTM_"):
                del self.environment[name]
        self.environment["RTM_ADMIN_URL"] = "http://127.0.0.1:" + self.port("8090")

    def text(self, text):
        """A text of the page as it holds in this run: with free ports, and with what earlier commands printed for `…`."""
        for shown, printed in self.seen.items():
            text = text.replace(shown, printed)
        text = re.sub(r"\brtm serve\b(?!.*(--listen|--config))", f"rtm serve --listen {PUBLIC}", text)
        return ADDRESSES.sub(lambda found: self.port(found[0]), text)

    def port(self, shown):
        if shown not in self.ports:
            # The system may give a port again that it has just given.
            free = iter(free_port, None)
            self.ports[shown] = next(port for port in free if port not in self.ports.values())
        return self.ports[shown]

    def start(self, command):
        name = pathlib.Path(self.folder, f".printed-{len(self.running)}")
        script = f'. "{self.settings}"\n{command}\nexport -p >"{name}.settings" && mv "{name}.settings" "{self.settings}"\n'
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, env=self.environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=name.open("wb"), stderr=name.with_suffix(".errors").open("wb"),
        )
        self.running.append((process, name))
        return process, name

    def run(self, command, expected=()):
        process, name = self.start(self.text(command))
        end, wanted = time.monotonic() + LIMIT, list(expected)
        while True:
            status = process.poll()
            printed = name.read_text(errors="replace")
            # A line that is not whole yet is none.
            missing = self.missing(printed if status is not None else printed.rpartition("\n")[0], wanted)
            if (expected and not missing and status is None) or status is not None:
                break
            if time.monotonic() > end:
                self.fail(command, name, f"did not end within {LIMIT} s" if not expected else f"did not print {missing}")
            time.sleep(0.05)
        missing = self.missing(name.read_text(errors="replace"), wanted)
        if status:
            self.fail(command, name, f"ended with {status}")
        if missing:
            self.fail(command, name, f"did not print {missing}")

    def missing(self, printed, wanted):
        """The first wanted line that is not there, in this order."""
        lines = iter(printed.splitlines())
        for line in wanted:
            parts = re.split(r"([\w-]{3,}…|…)", line)
            pattern = "".join(self.pattern(part) if at % 2 else re.escape(self.text(part)) for at, part in enumerate(parts))
            found = next((match for text in lines if (match := re.fullmatch(pattern, text.rstrip()))), None)
            if found is None:
                return line
            self.seen |= {part: value for part, value in zip(parts[1::2], found.groups()) if self.is_name(part)}
        return None

    def is_name(self, part):
        """Whether a text with `…` stands for something that the page has again, such as a key."""
        return part != "…" and self.page.count(part) > 1

    def pattern(self, part):
        if self.is_name(part):
            return "(" + re.escape(self.seen.get(part, part[:-1])) + ("" if part in self.seen else r"[\w.=-]*") + ")"
        return "(" + re.escape(self.text(part[:-1])) + ".*)"

    def fail(self, command, name, why):
        print(name.read_text(errors="replace"), name.with_suffix(".errors").read_text(errors="replace"), sep="\n")
        raise SystemExit(f"{self.name}: {command.strip()}\n{why}")

    def end(self):
        for process, _ in self.running:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def joined(text):
    """The lines of a block; one that ends with a backslash goes on in the next."""
    return re.sub(r"\\\n", "", text).splitlines()


def session(text):
    """The commands of a console, each with the lines below it. A command goes on in lines that begin with four spaces."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command = re.match(r"[^\n]*\n(?: {4}[^\n]*\n)*", part)[0]
        yield re.sub(r"\\\n *", "", command).strip(), [line for line in part[len(command):].splitlines() if line.strip()]


def run_page(path, binaries):
    terminal, commands = Terminal(path, binaries), 0
    try:
        for language, text in blocks(terminal.page):
            if name := re.match(r"# (\S+\.\w+)\n", text):
                pathlib.Path(terminal.folder, name[1]).write_text(terminal.text(text))
            if language == "toml" and not re.match(r"\[(dev-dependencies|dependencies|patch)", text):
                pathlib.Path(terminal.folder, ".shown.toml").write_text(text)
                terminal.run("rtm config diff .shown.toml")
                commands += 1
            elif language == "python":
                compile(text, path.name, "exec")
            elif language == "js":
                pathlib.Path(terminal.folder, ".shown.mjs").write_text(terminal.text(text))
                terminal.run(f"node '{SNIPPET}' .shown.mjs")
                commands += 1
            elif language == "sh":
                lines = [line for line in joined(text) if not line.startswith(ELSEWHERE)]
                if any(line.strip() and not line.startswith("#") for line in lines):
                    terminal.run("\n".join(lines))
                    commands += len(lines)
            elif language == "console":
                for command, printed in session(text):
                    if not command.startswith(ELSEWHERE):
                        terminal.run(command, printed)
                        commands += 1
    finally:
        terminal.end()
    print(f"{path.name}: {commands} commands")


def run_commands(binaries, names):
    for path in [DOCS / name for name in names] or [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]:
        if path.name not in NOT_RUN:
            run_page(path, os.path.abspath(binaries))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["preprocess", *_]:
            preprocess()
        case ["links", book]:
            check_links(book)
        case ["sdk", folder]:
            check_sdk(folder)
        case ["commands", binaries, *names]:
            run_commands(binaries, names)
        case _:
            sys.exit(__doc__)
