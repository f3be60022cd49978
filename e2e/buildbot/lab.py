"""A lab: one folder with two git repositories, a master and its workers, all on free loopback ports.

    lab.py create DIR [--pace P] [--auth controls|required] [--extra-builders N] [--dictation]
    lab.py up DIR          starts everything and waits until Ctrl-C or SIGTERM, then stops it
    lab.py serve DIR --www PORT --url URL [--pace P] [--extra-builders N]
                           in a pod: makes the lab if it is not there, then as `up`; its pages and REST answer to all

`lab.json` in the folder holds the ports and the pace (1 is the speed of the demo's recording, 0.1 is for
tests). Every process gets a process group of its own, so that one can be killed without the others.
Run it with the interpreter of the virtual environment that holds Buildbot.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.join(sys.prefix, 'bin')
WORKERS = ('oak', 'birch')
SOURCES = {
    'kestrel': {
        'README.md': '# Kestrel\n\nA small database that forgets nothing.\n',
        'src/wal/segment.cc': '// Segments of the write-ahead log.\n',
        'src/store/btree.cc': '// The B-tree.\n',
        'src/query/planner.cc': '// The planner.\n',
        'docs/index.rst': 'Kestrel\n=======\n',
    },
    'tidelib': {'README.md': '# tidelib\n\nClocks and queues.\n', 'src/clock.cc': '// Clocks.\n'},
}


def free_ports(count):
    """Ports that were free a moment ago. All are held until the last is known, so that they differ."""
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(('127.0.0.1', 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def git(where, *args, who='Ines Duarte <ines@kestrel.example.org>', when=None):
    name, mail = who.rstrip('>').split(' <')
    env = {**os.environ, 'GIT_CONFIG_NOSYSTEM': '1', 'GIT_CONFIG_GLOBAL': '/dev/null',
           'GIT_AUTHOR_NAME': name, 'GIT_AUTHOR_EMAIL': mail, 'GIT_COMMITTER_NAME': name, 'GIT_COMMITTER_EMAIL': mail}
    if when:
        env['GIT_AUTHOR_DATE'] = env['GIT_COMMITTER_DATE'] = when
    return subprocess.run(['git', *args], cwd=where, env=env, check=True, capture_output=True, text=True).stdout.strip()


def write(where, files):
    for name, text in files.items():
        path = os.path.join(where, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)


def create(folder, pace=0.1, auth=None, extra_builders=0, dictation=False, **more):
    folder = os.path.abspath(folder)
    os.makedirs(folder)
    www, pb, trial = free_ports(3)
    with open(os.path.join(folder, 'lab.json'), 'w', encoding='utf-8') as file:
        json.dump({'www': www, 'pb': pb, 'try': trial, 'pace': pace, 'auth': auth, 'extra_builders': extra_builders,
                   'dictation': dictation, **more}, file)
    write(folder, {'dictation.txt': ''})
    shutil.copy(os.path.join(HERE, 'act.py'), folder)
    for name, files in SOURCES.items():
        bare, work = os.path.join(folder, name + '.git'), os.path.join(folder, name)
        git(folder, 'init', '-q', '--bare', '-b', 'main', bare)
        git(folder, 'init', '-q', '-b', 'main', work)
        git(work, 'remote', 'add', 'origin', bare)
        write(work, files)
        git(work, 'add', '-A')
        git(work, 'commit', '-qm', 'First commit', when='2026-11-02T09:00:00Z')
        git(work, 'push', '-q', 'origin', 'main')
    env = {**os.environ, 'LAB': folder}
    quiet = {'stdout': subprocess.DEVNULL, 'env': env, 'check': True}
    master = os.path.join(folder, 'master')
    os.makedirs(master)
    shutil.copy(os.path.join(HERE, 'master.cfg'), master)
    subprocess.run([os.path.join(BIN, 'buildbot'), 'create-master', '-q', '--log-count=1', master], **quiet)
    for name in WORKERS:
        path = os.path.join(folder, name)
        subprocess.run([os.path.join(BIN, 'buildbot-worker'), 'create-worker', '-q', '--keepalive=60',
                        '--maxdelay=2', path, f'127.0.0.1:{pb}', name, 'pw'], **quiet)
        write(os.path.join(path, 'info'), {'admin': 'Ops <ops@kestrel.example.org>\n', 'host': f'{name}: Debian 12, 16 cores\n'})


class Lab:
    """The processes of a lab."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        with open(os.path.join(self.folder, 'lab.json'), encoding='utf-8') as file:
            self.settings = json.load(file)
        self.url = f'http://127.0.0.1:{self.settings["www"]}'
        self.processes = {}

    def start(self, name):
        where = os.path.join(self.folder, name)
        pid_file = os.path.join(where, 'twistd.pid')
        if os.path.exists(pid_file):
            os.remove(pid_file)
        output = open(os.path.join(self.folder, name + '.out'), 'ab')
        self.processes[name] = subprocess.Popen(
            [os.path.join(BIN, 'twistd'), '--no_save', '--nodaemon', '--python=buildbot.tac'], cwd=where,
            env={**os.environ, 'LAB': self.folder}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True)
        output.close()
        # The scenario may ask for a worker to be killed: it finds the process by this file.
        with open(os.path.join(self.folder, name + '.pid'), 'w', encoding='utf-8') as file:
            file.write(str(self.processes[name].pid))

    def stop(self, name, how=signal.SIGTERM):
        """Ends a process of this lab, whoever started it last: its process group is in the pid file."""
        path = os.path.join(self.folder, name + '.pid')
        if not os.path.exists(path):
            return
        with open(path, encoding='utf-8') as file:
            group = int(file.read())
        os.remove(path)
        for signum in (how, signal.SIGKILL):
            end = time.monotonic() + 15
            try:
                os.killpg(group, signum)
                while time.monotonic() < end:
                    for process in self.processes.values():
                        process.poll()
                    os.killpg(group, 0)
                    time.sleep(0.05)
            except ProcessLookupError:
                return

    def wait_until_up(self, patience=60):
        end = time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(self.url + '/api/v2/workers', timeout=5) as answer:
                    workers = json.load(answer)['workers']
                if sum(bool(w['connected_to']) for w in workers) == len(WORKERS):
                    return
            except urllib.error.HTTPError as error:
                if error.code in (401, 403):
                    return
            except OSError:
                pass
            if time.monotonic() > end or (self.processes['master'].poll() is not None):
                raise SystemExit(f'the master did not come up, see {self.folder}/master/twistd.log')
            time.sleep(0.2)

    def up(self):
        for name in ('master', *WORKERS):
            self.start(name)
        self.wait_until_up()

    def down(self):
        for name in (*WORKERS, 'master'):
            self.stop(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    commands = parser.add_subparsers(dest='command', required=True)
    one = commands.add_parser('create')
    one.add_argument('folder')
    one.add_argument('--pace', type=float, default=0.1)
    one.add_argument('--auth', choices=['controls', 'required'])
    one.add_argument('--extra-builders', type=int, default=0)
    one.add_argument('--dictation', action='store_true')
    two = commands.add_parser('up')
    two.add_argument('folder')
    three = commands.add_parser('serve')
    three.add_argument('folder')
    three.add_argument('--www', type=int, required=True)
    three.add_argument('--url', required=True)
    three.add_argument('--pace', type=float, default=0.1)
    three.add_argument('--extra-builders', type=int, default=0)
    a = parser.parse_args()
    if a.command == 'create':
        create(a.folder, a.pace, a.auth, a.extra_builders, a.dictation)
        return
    # A container that starts again finds the lab of its predecessor, perhaps half made.
    made = os.path.join(a.folder, 'made')
    if a.command == 'serve' and not os.path.exists(made):
        shutil.rmtree(a.folder, ignore_errors=True)
        create(a.folder, a.pace, None, a.extra_builders, www=a.www, url=a.url, interface='0.0.0.0')
        write(a.folder, {'made': ''})
    lab = Lab(a.folder)

    def ended(*_):
        raise SystemExit

    signal.signal(signal.SIGTERM, ended)
    try:
        lab.up()
        print(lab.url, flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        lab.down()


if __name__ == '__main__':
    main()
