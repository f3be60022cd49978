"""What a build step prints. Run by the workers: act.py SCENE --step NAME --builder NAME --seconds S --outcome O

The outcome is the one that was asked for, or what `plan.json` says about this revision and builder (written
by `scenario.py`), or success. The exit code says it: 0 success, 1 failure, 2 warnings, 3 skipped, 4 retry,
5 exception. Only the standard library; the same revision and builder always print the same.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import time

LAB = os.path.dirname(os.path.abspath(__file__))
CODES = {'success': 0, 'failure': 1, 'warnings': 2, 'skipped': 3, 'retry': 4, 'exception': 5}
RED, GREEN, YELLOW, BLUE, BOLD, DIM, OFF = (f'\033[{n}m' for n in ('31', '32', '33', '34', '1', '2', '0'))
MODULES = ['wal/segment', 'wal/recovery', 'wal/checksum', 'store/page_cache', 'store/btree', 'store/free_list',
           'store/compaction', 'query/lexer', 'query/parser', 'query/planner', 'query/join', 'query/aggregate',
           'net/listener', 'net/session', 'net/tls', 'net/frame', 'raft/log', 'raft/election', 'raft/snapshot',
           'util/arena', 'util/varint', 'util/clock', 'util/string_view', 'cli/shell', 'cli/import']


class Stage:
    """Prints lines so that the whole scene takes its time."""

    def __init__(self, seconds, lines, seed):
        with open(os.path.join(LAB, 'lab.json'), encoding='utf-8') as file:
            pace = json.load(file)['pace']
        self.random = random.Random(seed)
        self.pause = seconds * pace * self.random.uniform(0.75, 1.25) / max(lines, 1)

    def out(self, line='', wait=True):
        print(line, flush=True)
        if wait:
            time.sleep(self.pause)

    def err(self, line):
        print(line, file=sys.stderr, flush=True)

    def log(self, name, lines):
        for line in [f'>>> log {name}', *lines, '<<<']:
            self.out(line, wait=False)


def configure(s, outcome):
    s.out('cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo')
    for line in ('The C compiler identification is GNU 12.2.0', 'The CXX compiler identification is GNU 12.2.0',
                 'Detecting CXX compile features - done', 'Looking for pthread.h - found',
                 'Found OpenSSL: /usr/lib/x86_64-linux-gnu/libcrypto.so (found version "3.0.15")',
                 'Found ZLIB: /usr/lib/x86_64-linux-gnu/libz.so (found version "1.2.13")',
                 'Performing Test HAVE_IO_URING - Success', 'Found GTest: /usr/lib/cmake/GTest (found version "1.12.1")'):
        s.out('-- ' + line)
    if outcome == 'failure':
        s.err('CMake Error at cmake/tidelib.cmake:14 (find_package):\n  By not providing "FindTidelib.cmake" this project '
              'has asked CMake to\n  find a package configuration file provided by "Tidelib", but CMake did not find one.')
        s.out('-- Configuring incomplete, errors occurred!')
        s.out('Summary: tidelib not found')
        return
    s.log('CMakeCache.txt', ['CMAKE_BUILD_TYPE:STRING=RelWithDebInfo', 'CMAKE_CXX_FLAGS:STRING=-Wall -Wextra -Werror=return-type',
                             'KESTREL_WITH_IO_URING:BOOL=ON', 'KESTREL_WITH_TLS:BOOL=ON', 'BUILD_TESTING:BOOL=ON'])
    s.out('-- Configuring done\n-- Generating done\n-- Build files have been written to: build')
    s.out('Summary: configured')


def compile_(s, outcome):
    total = len(MODULES) + 2
    bad = s.random.choice(MODULES[5:])
    warned = s.random.sample(MODULES, 2) if outcome in ('warnings', 'failure') or s.random.random() < 0.2 else []
    for n, module in enumerate(MODULES, 1):
        s.out(f'[{n}/{total}] {GREEN}Building CXX object src/CMakeFiles/kestrel.dir/{module}.cc.o{OFF}')
        if module in warned:
            s.err(f"{BOLD}src/{module}.cc:{s.random.randint(40, 400)}:17: {YELLOW}warning:{OFF}{BOLD} unused variable 'expected' [-Wunused-variable]{OFF}\n"
                  f"  112 |     const auto expected = header.length;\n      |                {YELLOW}^~~~~~~~{OFF}")
        if outcome == 'failure' and module == bad:
            line = s.random.randint(60, 300)
            s.err(f"{BOLD}src/{module}.cc: In member function '{OFF}kestrel::Status kestrel::Cursor::Seek(kestrel::Slice){BOLD}':{OFF}\n"
                  f"{BOLD}src/{module}.cc:{line}:22: {RED}error:{OFF}{BOLD} no matching function for call to 'Cursor::Compare(Slice&, std::string&)'{OFF}\n"
                  f"  {line} |       if (Compare(key, bound) <= 0) {{\n      |           {RED}~~~~~~~^~~~~~~~~~~~{OFF}\n"
                  f"src/store/cursor.h:41:7: {BLUE}note:{OFF} candidate: 'int Cursor::Compare(Slice, Slice) const'")
            s.out(f'{RED}FAILED:{OFF} src/CMakeFiles/kestrel.dir/{module}.cc.o')
            s.out('ninja: build stopped: subcommand failed.')
            s.log('errors', [f'src/{module}.cc:{line}:22: error: no matching function for call to Cursor::Compare(Slice&, std::string&)'])
            s.out(f'Summary: compile failed in {module}.cc')
            return
    s.out(f'[{total - 1}/{total}] {BOLD}Linking CXX executable bin/kestreld{OFF}')
    s.out(f'[{total}/{total}] {BOLD}Linking CXX executable bin/kestrel_test{OFF}')
    s.out(f'Summary: {total} targets, {len(warned)} warnings' if warned else f'Summary: {total} targets')


def tests(s, outcome, suites=14, what='tests'):
    names = s.random.sample(MODULES, min(suites, len(MODULES)))
    failing = s.random.sample(range(len(names)), 2) if outcome == 'failure' else []
    total, failed = 0, []
    s.out(f'{GREEN}[==========]{OFF} Running {what} from {len(names)} test suites.', wait=False)
    for n, module in enumerate(names):
        suite = ''.join(part.title().replace('_', '') for part in module.split('/')) + 'Test'
        cases = s.random.sample(['KeepsOrder', 'SurvivesTruncation', 'RejectsBadChecksum', 'HandlesEmptyInput',
                                 'RoundTrips', 'IsIdempotent', 'ReportsTheFirstError', 'ReleasesMemory'], s.random.randint(2, 5))
        for k, case in enumerate(cases):
            total += 1
            name, ms = f'{suite}.{case}', s.random.randint(0, 340)
            s.out(f'{GREEN}[ RUN      ]{OFF} {name}', wait=False)
            if n in failing and k == 0:
                failed.append(name)
                s.err(f'{module}_test.cc:{s.random.randint(50, 600)}: Failure\nExpected equality of these values:\n'
                      f'  cursor.position()\n    Which is: {s.random.randint(2, 4000)}\n  segment.end()\n    Which is: 4096')
                s.out(f'{RED}[  FAILED  ]{OFF} {name} ({ms} ms)', wait=False)
            else:
                s.out(f'{GREEN}[       OK ]{OFF} {name} ({ms} ms)', wait=False)
        s.out(f'{GREEN}[----------]{OFF} {len(cases)} tests from {suite}')
    if outcome == 'warnings':
        s.err(f'{YELLOW}warning:{OFF} 1 test was retried because it ran into its deadline (RaftElectionTest.IsIdempotent)')
    s.out(f'{GREEN}[  PASSED  ]{OFF} {total - len(failed)} {what}.', wait=False)
    if failed:
        s.out(f'{RED}[  FAILED  ]{OFF} {len(failed)} {what}, listed below:', wait=False)
        for name in failed:
            s.out(f'{RED}[  FAILED  ]{OFF} {name}', wait=False)
        s.log('failed tests', failed)
    rows = ''.join(f'<tr><td>{m}</td><td>{"failed" if n in failing else "ok"}</td></tr>' for n, m in enumerate(names))
    s.log('report.html', ['<!doctype html><html><head><title>Tests</title><style>td{padding:.2em 1em}</style></head>',
                          f'<body><h1>{total} {what}</h1><table>{rows}</table><script>document.title += " ✓"</script></body></html>'])
    s.out(f'Summary: {total - len(failed)} passed' + (f', {len(failed)} failed' if failed else '') +
          (', 1 flaky' if outcome == 'warnings' else ''))


def coverage(s, outcome):
    for module in MODULES[:8]:
        s.out(f'src/{module}.cc'.ljust(36) + f'{s.random.uniform(71, 99):6.1f} %')
    s.out('Link: coverage https://kestrel.example.org/coverage/')
    s.out(f'Summary: {s.random.uniform(84, 93):.1f} % of lines')


def sphinx(s, outcome):
    s.out('Running Sphinx v7.4.7')
    for n in range(1, 13):
        s.out(f'reading sources... [{n * 100 // 12:3d}%] {s.random.choice(["guide", "reference", "operations"])}/{MODULES[n].split("/")[1]}')
    if outcome in ('warnings', 'failure'):
        s.err(f'docs/operations/backup.rst:48: {YELLOW}WARNING:{OFF} undefined label: "snapshot-transfer"\n'
              f'docs/reference/config.rst:112: {YELLOW}WARNING:{OFF} Title underline too short.')
    s.out('build succeeded.' if outcome != 'failure' else 'build finished with problems.')
    s.log('output.txt', ['docs/index.rst', 'docs/guide/first-steps.rst', 'docs/reference/config.rst'])
    s.out('Summary: 2 warnings' if outcome in ('warnings', 'failure') else 'Summary: manual built')


def linkcheck(s, outcome):
    for n in range(14):
        s.out(f'(reference/config: line {n * 9 + 4:4d}) {GREEN}ok{OFF}        https://kestrel.example.org/docs/{n}')
    s.out('Summary: 14 links')


def package(s, outcome):
    for line in ('dpkg-buildpackage: info: source package kestrel', 'dh build', '   dh_auto_configure', '   dh_auto_build',
                 '   dh_auto_test', '   dh_install', '   dh_strip', '   dh_shlibdeps', 'dpkg-deb: building package'):
        s.out(line)
    if outcome == 'failure':
        s.err(f'{RED}dpkg-shlibdeps: error:{OFF} no dependency information found for libtide.so.4')
        s.out('Summary: libtide.so.4 has no package')
        return
    s.log('contents', ['usr/bin/kestreld', 'usr/bin/kestrel', 'lib/systemd/system/kestrel.service', 'etc/kestrel/kestrel.toml'])
    s.out('Link: package https://kestrel.example.org/pool/kestrel.deb')
    s.out('Summary: packaged')


def fuzz(s, outcome):
    s.err('INFO: Running with entropic power schedule (0xFF, 100).\nINFO: Seed: 2716457284')
    for n in range(4, 24):
        s.out(f'#{2 ** n}\tpulse  cov: {900 + 37 * n} ft: {2200 + 90 * n} corp: {40 + n}/{n}Kb exec/s: {s.random.randint(18000, 22000)} rss: {60 + n}Mb')
    if outcome == 'failure':
        s.err('==4711==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000001b31\n'
              '    #0 0x55d0 in kestrel::DecodeVarint(char const*, char const*) src/util/varint.cc:38:11\n'
              '    #1 0x5602 in kestrel::wal::Segment::ReadRecord() src/wal/segment.cc:214:9')
        s.log('crash-5ba93c9d', ['\\x00\\xff\\xff\\xff\\xff\\x0f\\x80'])
        s.out('Summary: crash in DecodeVarint')
        return
    s.out('Summary: 8 million inputs, no crash')


def dictation(s, outcome):
    """Prints what a test writes to `dictation.txt`, as it is written, until the line `end`."""
    with open(os.path.join(LAB, 'dictation.txt'), encoding='utf-8') as file:
        line, worker = '', os.getppid()
        while line != 'end\n' and os.getppid() == worker:
            line = file.readline()
            if line:
                print(line, end='', flush=True)
            else:
                time.sleep(0.05)


def short(words, summary):
    def scene(s, outcome):
        for word in words:
            s.out(word)
        if outcome == 'failure':
            s.err(f'{RED}error:{OFF} the command ended with status 1')
        s.out('Summary: ' + (summary if outcome != 'failure' else 'failed'))
    return scene


SCENES = {
    'configure': configure, 'compile': compile_, 'unit tests': tests, 'coverage': coverage, 'sphinx': sphinx,
    'linkcheck': linkcheck, 'package': package, 'fuzz': fuzz,
    'cluster tests': lambda s, o: tests(s, o, suites=6, what='cluster tests'),
    'version': short(['git describe --tags', 'v4.2.0-17-g3fe1a20'], 'v4.2.0-17'),
    'sign': short(['gpg: using RSA key 7C1D 22A1 908F', 'kestrel_4.2.0-17_amd64.changes: signed'], 'signed'),
    'publish': short(['rsync: sent 48,113,912 bytes', 'reprepro: exported bookworm'], 'published to bookworm'),
    'dictation': dictation,
    'smoke test': short(['$ kestreld --version', 'kestreld 4.2.0-17', '$ kestrel ping', 'PONG'], 'smoke test passed'),
}
# The step that a planned or forced outcome befalls, unless a plan names another.
FATEFUL = {'unit tests', 'cluster tests', 'sphinx', 'package', 'fuzz', 'version'}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument('scene')
    for name in ('step', 'builder', 'seconds', 'outcome'):
        arguments.add_argument('--' + name, default='')
    a = arguments.parse_args()
    found = subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True, check=False)
    revision = found.stdout.strip() if found.returncode == 0 else ''
    if not revision and os.path.isdir('../kestrel'):
        found = subprocess.run(['git', '-C', '../tidelib', 'rev-parse', 'HEAD'], capture_output=True, text=True, check=False)
        revision = found.stdout.strip()
    outcome = a.outcome if a.scene in FATEFUL else ''
    if not outcome and os.path.exists(os.path.join(LAB, 'plan.json')):
        with open(os.path.join(LAB, 'plan.json'), encoding='utf-8') as file:
            fate = json.load(file).get(revision, {}).get(a.builder)
        if fate:
            step, planned = fate
            outcome = planned if step == a.scene else ''
    outcome = outcome or 'success'
    seed = int(hashlib.sha1(f'{revision}/{a.builder}/{a.step}/{outcome}'.encode()).hexdigest()[:8], 16)
    lines = {'compile': 27, 'unit tests': 15, 'cluster tests': 7, 'sphinx': 15, 'linkcheck': 15, 'fuzz': 21}.get(a.scene, 10)
    SCENES[a.scene](Stage(float(a.seconds or 1), lines, seed), outcome)
    sys.exit(CODES[outcome])


if __name__ == '__main__':
    main()
