"""Processor time of a real Buildbot master, by who listens to it.

    master_load.py PROGRAM [--builds 40] [--every 0.7] [--rounds 3] [--only NAME ...]

For each case a new master of `e2e/buildbot/lab.py` runs the same stream of forced builds: with nobody who
listens, with N `HttpPush` documents of ours behind one journal (PROGRAM is `buildbot-status`), in one process
or with each in a process of its own that reads the journal over HTTP, and with N of the master's own
`HttpStatusPush` reporters. All post the start and the end of each build to the same receiver.
Cases take turns in each round. Printed are the seconds of processor time that the master's process used for a
build (from `/proc/PID/stat`, the force by REST and the build itself among them), and the time from a build's end
in the master's database to its receipt by each.

`cargo xtask bench master-load` runs it with the interpreter that has Buildbot.
"""

import argparse
import asyncio
import collections
import json
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'e2e', 'buildbot'))
import lab as labs  # noqa: E402

BUILDERS = 8
WARM_UP = 8
PATIENCE = 180
# Everything that 0.8 pushed but the start and the end of builds, which is what a reporter sends.
REST = ['start', 'builderAdded', 'buildedRemoved', 'buildsetSubmitted', 'requestSubmitted', 'requestCancelled',
        'stepStarted', 'stepFinished', 'changeAdded', 'slaveConnected', 'slaveDisconnected', 'slavePaused',
        'slaveUnpaused']
CASES = [('none', 0), ('ours', 1), ('ours', 10), ('ours', 100), ('processes', 1), ('processes', 10), ('processes', 100),
         ('reporters', 1), ('reporters', 10)]


class Receiver:
    """Takes posts of both forms; notes when each target brought the end of each build."""

    def __init__(self):
        self.ends = collections.defaultdict(dict)  # target -> {(builder, number): time}
        self.posts = 0
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(ready)), daemon=True).start()
        ready.wait()

    async def serve(self, ready):
        server = await asyncio.start_server(self.connection, '127.0.0.1', 0, backlog=1024, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def connection(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b'\r\n\r\n')).decode('latin-1').lower()
                body = await reader.readexactly(int(re.search(r'content-length: *(\d+)', head).group(1)))
                self.take(head.split(' ', 2)[1], body, time.time())
                close = 'connection: close' in head
                writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n%s\r\n' % (b'connection: close\r\n' if close else b''))
                await writer.drain()
                if close:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def take(self, target, body, now):
        self.posts += 1
        if body.startswith(b'packets='):
            packets = json.loads(urllib.parse.parse_qs(body.decode())['packets'][0])
            builds = [p['payload']['build'] for p in packets if p['event'] == 'buildFinished']
            keys = [(build['builderName'], build['number']) for build in builds]
        else:
            build = json.loads(body)
            keys = [(build['builder']['name'], build['number'])] if build['complete'] else []
        for key in keys:
            self.ends[target].setdefault(key, now)


class Ends:
    """Reads the master's database beside it, which costs the master nothing."""

    def __init__(self, folder):
        self.database = sqlite3.connect(f'file:{folder}/master/state.sqlite?mode=ro', uri=True, isolation_level=None)
        self.at = {}

    def look(self):
        now = time.time()
        rows = self.database.execute(
            'select builders.name, builds.number from builds join builders on builders.id = builds.builderid '
            'where builds.complete_at is not null').fetchall()
        for row in rows:
            self.at.setdefault(row, now)
        return len(self.at)


class Ours:
    """One journal and its targets in one process, or the journal and each target in processes of their own."""

    def __init__(self, program, folder, master, count, receiver, split):
        self.program = program
        self.folder = os.path.join(folder, 'ours')
        os.makedirs(self.folder)
        self.processes = []
        self.metrics = labs.free_ports(1)[0]
        main = {'apiVersion': 'statustargets.dev/v1alpha1', 'kind': 'Master', 'metadata': {'name': 'main'},
                'spec': {'url': master + '/'}}
        pushes = [{
            'apiVersion': 'statustargets.dev/v1alpha1', 'kind': 'HttpPush', 'metadata': {'name': f'push-{n}'},
            'spec': {'masterRef': {'name': 'main'}, 'serverUrl': f'http://127.0.0.1:{receiver.port}/{n}',
                     'allowPrivateAddresses': True, 'bufferDelay': '1ms', 'blackList': REST},
        } for n in range(count)]
        data = ['--data', os.path.join(self.folder, 'data'), '--metrics', f'127.0.0.1:{self.metrics}']
        if split:
            self.split(main, pushes, data)
        else:
            self.start('standalone', '-f', self.write('all', [main, *pushes]), *data)
            self.wait_until_live()

    def split(self, main, pushes, data):
        keys = os.path.join(self.folder, 'keys')
        os.makedirs(keys)
        with open(os.path.join(keys, '1'), 'w', encoding='utf-8') as key:
            key.write('a key of thirty-two bytes or more')
        listen = f'127.0.0.1:{labs.free_ports(1)[0]}'
        self.start('feed', '-f', self.write('main', [main]), '--keys', keys, '--listen', listen, *data)
        self.wait_until_live()
        uid = re.search(r'^uid (\S+)', self.printed('feed'), re.M).group(1)
        for document in pushes:
            name = document['metadata']['name']
            token = subprocess.run(
                [self.program, 'token', '--keys', keys, '--master-uid', uid, '--consumer', f'http_push/{name}',
                 '--kind', 'HttpPush', '--right', 'read', '--right', 'consume'], check=True, capture_output=True)
            file = os.path.join(self.folder, name + '.token')
            with open(file, 'wb') as out:
                out.write(token.stdout)
            self.start('target', '-f', self.write(name, [document]), '--feed', f'http://{listen}/',
                       '--token-file', file, '--metrics', '127.0.0.1:0')
        self.wait_for(f'{len(pushes)} consumers', lambda figures: len(
            re.findall(r'^buildbot_status_feed_consumer_backlog\{', figures, re.M)) == len(pushes))

    def write(self, name, documents):
        file = os.path.join(self.folder, name + '.yaml')  # JSON is YAML, and a file of YAML may hold many documents
        with open(file, 'w', encoding='utf-8') as out:
            out.write('\n---\n'.join(json.dumps(document) for document in documents))
        return file

    def start(self, *arguments):
        with open(os.path.join(self.folder, arguments[0] + '.out'), 'ab') as output:
            self.processes.append(subprocess.Popen([self.program, *arguments], stdout=output, stderr=output))

    def printed(self, name):
        with open(os.path.join(self.folder, name + '.out'), encoding='utf-8') as file:
            return file.read()

    def wait_until_live(self):
        self.wait_for('a connection to the master',
                      lambda figures: re.search(r'^buildbot_status_master_connected\S* 1', figures, re.M))

    def wait_for(self, what, there):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.processes[0].poll() is None:
            try:
                with urllib.request.urlopen(f'http://127.0.0.1:{self.metrics}/metrics', timeout=5) as answer:
                    if there(answer.read().decode()):
                        return
            except OSError:
                pass
            time.sleep(0.1)
        name = next(name for name in ('feed', 'standalone') if os.path.exists(os.path.join(self.folder, name + '.out')))
        raise SystemExit(f'no {what}:\n' + self.printed(name)[-2000:])

    def cpu(self):
        return sum(cpu(process.pid) for process in self.processes)

    def end(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()


def cpu(pid):
    with open(f'/proc/{pid}/stat', encoding='utf-8') as file:
        fields = file.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def force(url, builder):
    call = {'jsonrpc': '2.0', 'id': 1, 'method': 'force',
            'params': {'builderid': builder, 'username': 'Bench <bench@example.org>', 'reason': 'measured', 'branch': 'main'}}
    request = urllib.request.Request(url + '/api/v2/forceschedulers/force', json.dumps(call).encode(),
                                     {'Content-Type': 'application/json'})
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


def reporters(folder, count, port):
    """Gives the lab's master reporters of its own."""
    with open(os.path.join(folder, 'master', 'master.cfg'), 'a', encoding='utf-8') as file:
        file.write(f'''
from buildbot.plugins import reporters
c['services'] = [reporters.HttpStatusPush('http://127.0.0.1:{port}/%d' % n, name='push-%d' % n) for n in range({count})]
''')


def run(case, count, a):
    """Seconds of the master's processor time a build; times from end to receipt; ours' processor time a build."""
    parent = tempfile.mkdtemp(prefix='master-load-')
    folder = os.path.join(parent, 'lab')
    labs.create(folder, pace=0.01, extra_builders=BUILDERS)
    receiver, ours = Receiver(), None
    if case == 'reporters':
        reporters(folder, count, receiver.port)
    lab = labs.Lab(folder)
    try:
        lab.up()
        if case in ('ours', 'processes'):
            ours = Ours(a.program, parent, lab.url, count, receiver, split=case == 'processes')
        with urllib.request.urlopen(lab.url + '/api/v2/builders', timeout=30) as answer:
            builders = [b['builderid'] for b in json.load(answer)['builders'] if b['name'].startswith('quick-')]
        ends = Ends(folder)

        def stream(builds, total):
            due = time.monotonic()
            for n in range(builds):
                while time.monotonic() < due:
                    ends.look()
                    time.sleep(0.005)
                force(lab.url, builders[n % len(builders)])
                due += a.every
            limit = time.monotonic() + PATIENCE
            while ends.look() < total or any(len(receiver.ends[f'/{n}']) < total for n in range(count)):
                if time.monotonic() > limit:
                    raise SystemExit(f'{case} {count}: not everything arrived')
                time.sleep(0.005)

        # What comes once (imports, caches, connections) is not to be measured.
        stream(WARM_UP, WARM_UP)
        master, own, posts = lab.processes['master'].pid, ours.cpu() if ours else 0, receiver.posts
        before, begin = cpu(master), time.monotonic()
        stream(a.builds, WARM_UP + a.builds)
        used, took = cpu(master) - before, time.monotonic() - begin
        own = (ours.cpu() if ours else 0) - own
        lags = [at - ends.at[key] for target in receiver.ends.values() for key, at in target.items()]
        print(f'  {case} {count}: {used / a.builds:.4f} s a build, {took:.0f} s, {receiver.posts - posts} posts, '
              f'load {os.getloadavg()[0]:.1f}', flush=True)
        return used / a.builds, lags, own / a.builds
    finally:
        if ours:
            ours.end()
        lab.down()
        shutil.rmtree(parent, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('program')
    parser.add_argument('--builds', type=int, default=40)
    parser.add_argument('--every', type=float, default=0.7, help='seconds from one build to the next')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--only', nargs='*', default=[], help='cases such as ours-10')
    a = parser.parse_args()
    cases = [(case, count) for case, count in CASES if not a.only or f'{case}-{count}' in a.only or case == 'none']
    print(f'{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start', flush=True)
    results = collections.defaultdict(list)
    for number in range(a.rounds):
        print(f'round {number + 1}', flush=True)
        for case in cases:
            results[case].append(run(*case, a))
    base = statistics.median(used for used, _, _ in results['none', 0])
    print(f'{"case":<16}{"master, s a build":>18}{"least to most":>18}{"over none":>11}'
          f'{"end to receipt p50":>20}{"p99":>9}{"our processes, s":>18}')
    for (case, count), runs in results.items():
        used = sorted(used for used, _, _ in runs)
        lags = sorted(lag for _, lags, _ in runs for lag in lags)
        quantile = lambda share: f'{lags[round((len(lags) - 1) * share)] * 1000:.0f} ms' if lags else ''
        print(f'{case + " " + str(count):<16}{statistics.median(used):>18.4f}'
              f'{f"{used[0]:.4f} to {used[-1]:.4f}":>18}{statistics.median(used) - base:>+11.4f}'
              f'{quantile(0.5):>20}{quantile(0.99):>9}{statistics.median(own for _, _, own in runs):>18.4f}')


if __name__ == '__main__':
    main()
