"""Drives a lab's master through every result that a build can have.

    scenario.py DIR [--seed N] [--acts NAME,NAME] [--keep-worker]

Commits, forced and triggered builds, a try with a patch, stops, cancels, a retry, a worker that dies. The seed
decides the order and who commits what; the set of results stays the same. The last line is a JSON summary.
Only the standard library, so that it can also be pointed at a lab that another process started.
"""

import argparse
import base64
import collections
import http.client
import http.cookiejar
import json
import os
import random
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from lab import BIN, Lab, git, write

PEOPLE = ['Ines Duarte <ines@kestrel.example.org>', 'Tomasz Zieliński <tomasz@kestrel.example.org>',
          'Amara Okafor <amara@kestrel.example.org>', 'Jun Watanabe <jun@kestrel.example.org>',
          'Freya Lindqvist <freya@kestrel.example.org>']
# What was written and where, and what becomes of it: builder -> (step, outcome).
COMMITS = [
    ('wal: fsync the directory after a segment is renamed\n\nWithout it a power cut could leave the old name behind.',
     'src/wal/segment.cc', {}),
    ('query: choose the smaller side of a hash join\n\nThe planner looked at the estimate before the filter was applied.',
     'src/query/planner.cc', {'linux-gcc': ('unit tests', 'failure'), 'windows/msvc': ('unit tests', 'failure')}),
    ('query: correct the estimate for an empty side', 'src/query/planner.cc', {}),
    ('store: split pages at two thirds when keys ascend\n\nHalves the size of an index that is filled in order.\n\nCloses #2317',
     'src/store/btree.cc', {'linux-clang asan': ('unit tests', 'warnings')}),
    ('docs: how to restore a single table', 'docs/operations/restore.rst', {'docs': ('sphinx', 'warnings')}),
    ('net: refuse frames longer than the session agreed to', 'src/net/frame.cc', {'windows/msvc': ('compile', 'failure')}),
    ('net: spell MSVC\'s name for ssize_t', 'src/net/frame.cc', {}),
    ('raft: vote for nobody before the log is read', 'src/raft/election.cc', {'linux-clang asan': ('unit tests', 'failure')}),
    ('raft: the same for a snapshot that is half received', 'src/raft/snapshot.cc', {}),
    ('docs: “first steps” for the impatient', 'docs/guide/first-steps.rst', {}),
]
BRANCH = ('wip: io_uring for segment writes\n\nNot yet for kernels before 5.10.', 'src/wal/uring.cc', 'feature/io-uring',
          {'linux-gcc': ('unit tests', 'warnings')})
LIBRARY = [('clock: a monotonic clock that survives suspend', 'src/clock.cc', {}),
           ('queue: wake one waiter, not all', 'src/queue.cc', {'integration': ('cluster tests', 'failure')})]
LIBRARY_AGAIN = ('queue: wake all waiters when it closes', 'src/queue.cc', {})
TRIED = '// Leaves are linked, so that a range is read without the inner nodes.\n#include "store/leaf_links.h"\n'


class Scenario:
    def __init__(self, folder, seed):
        self.folder = os.path.abspath(folder)
        with open(os.path.join(self.folder, 'lab.json'), encoding='utf-8') as file:
            self.settings = json.load(file)
        self.url = f'http://127.0.0.1:{self.settings["www"]}'
        self.pace = self.settings['pace']
        self.random = random.Random(seed)
        self.done = collections.Counter()
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self.builders = {}
        self.revived = None

    # ---- the master's interface; a master that is being restarted is waited for

    def ask(self, path, data=None, headers=None):
        for _ in range(240):
            request = urllib.request.Request(self.url + path, data=data,
                                             headers={'Accept': 'application/json', **(headers or {})})
            try:
                with self.opener.open(request, timeout=30) as answer:
                    return answer.read().decode()
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    return error.read().decode()
            except (OSError, http.client.HTTPException) as error:
                # A command may have been carried out before the connection broke: it is not repeated.
                refused = isinstance(getattr(error, 'reason', error), ConnectionRefusedError)
                if data is not None and not refused:
                    return ''
            time.sleep(0.5)
        raise SystemExit('the master does not answer')

    def get(self, path):
        return json.loads(self.ask('/api/v2/' + path))

    def call(self, path, method, **parameters):
        body = json.dumps({'jsonrpc': '2.0', 'method': method, 'id': 1, 'params': parameters}).encode()
        answer = self.ask('/api/v2/' + path, body, {'Content-Type': 'application/json'})
        self.done[method] += 1
        if not answer:
            return None
        reply = json.loads(answer)
        if reply.get('error'):
            raise SystemExit(f'{method} {path} was refused: {reply["error"]}')
        return reply.get('result')

    def connect(self):
        if self.settings.get('auth'):
            secret = base64.b64encode(b'alice:apw').decode()
            self.ask('/auth/login', headers={'Authorization': 'Basic ' + secret})
        self.builders = {b['name']: b['builderid'] for b in self.get('builders')['builders']}

    # ---- small acts

    def rest(self, seconds):
        """A pause of the story (not a wait for something): scaled by the pace."""
        time.sleep(seconds * self.pace)

    def open_requests(self):
        offline = self.builders.get('macos-arm64')
        return [r for r in self.get('buildrequests?complete=false&limit=200')['buildrequests'] if r['builderid'] != offline]

    def idle(self, patience=240):
        """Waits until nothing is pending or running, save what waits for a worker that never comes."""
        end = time.monotonic() + patience
        quiet = 0
        while quiet < 2 and time.monotonic() < end:
            quiet = quiet + 1 if not self.open_requests() else 0
            time.sleep(0.25)

    def force(self, builder, reason, **values):
        scheduler = 'force-integration' if builder == 'integration' else 'force'
        return self.call('forceschedulers/' + scheduler, 'force', builderid=self.builders[builder], reason=reason,
                         username='Ines Duarte <ines@kestrel.example.org>', **values)

    def commit(self, repo, message, path, fate, branch='main', who=None):
        work = os.path.join(self.folder, repo)
        who = who or self.random.choice(PEOPLE)
        git(work, 'checkout', '-q', '-B', branch)
        old = ''
        if os.path.exists(os.path.join(work, path)):
            with open(os.path.join(work, path), encoding='utf-8') as file:
                old = file.read()
        write(work, {path: f'{old}// {message.splitlines()[0]} {self.random.random():.6f}\n'})
        git(work, 'add', '-A')
        git(work, 'commit', '-qm', message, who=who)
        revision = git(work, 'rev-parse', 'HEAD')
        plan_path = os.path.join(self.folder, 'plan.json')
        plan = {}
        if os.path.exists(plan_path):
            with open(plan_path, encoding='utf-8') as file:
                plan = json.load(file)
        plan[revision] = fate
        with open(plan_path + '.new', 'w', encoding='utf-8') as file:
            json.dump(plan, file)
        os.replace(plan_path + '.new', plan_path)
        git(work, 'push', '-q', 'origin', branch)
        if branch != 'main':
            git(work, 'checkout', '-q', 'main')
        self.done['commit'] += 1
        self.poll(repo)

    def poll(self, repo):
        body = urllib.parse.urlencode({'poller': f'file://{self.folder}/{repo}.git'}).encode()
        self.ask('/change_hook/poller', body)

    def running(self, builder):
        found = self.get(f'builders/{self.builders[builder]}/builds?complete=false&order=-number&limit=1')['builds']
        return found[0] if found else None

    def await_running(self, builder, patience=30):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            build = self.running(builder)
            if build:
                return build
            time.sleep(0.1)
        return None

    # ---- the acts; each leaves running builds behind unless it needs an idle master

    def act_commits(self):
        """Success, failure, recovery, warnings; two or three builders side by side."""
        for message, path, fate in COMMITS[:4]:
            self.commit('kestrel', message, path, fate)
            self.rest(14)

    def act_commit(self):
        """One commit, three builds that go well."""
        self.commit('kestrel', *COMMITS[0])

    def act_more_commits(self):
        for message, path, fate in COMMITS[4:]:
            self.commit('kestrel', message, path, fate)
            self.rest(15)

    def act_branch(self):
        message, path, branch, fate = BRANCH
        self.commit('kestrel', message, path, fate, branch=branch)
        self.rest(2)

    def act_library(self):
        for message, path, fate in LIBRARY:
            self.commit('tidelib', message, path, fate)
            self.rest(9)

    def act_library_again(self):
        self.commit('tidelib', *LIBRARY_AGAIN)
        self.rest(6)

    def act_results(self):
        """One forced build for every outcome that a step can have."""
        outcomes = ['success', 'warnings', 'failure', 'skipped', 'exception', 'retry']
        self.random.shuffle(outcomes)
        builders = ['linux-gcc', 'windows/msvc', 'linux-gcc', 'linux-clang asan', 'linux-gcc', 'linux-gcc']
        for outcome, builder in zip(outcomes, builders):
            builder = 'docs' if outcome == 'skipped' else builder
            self.force(builder, f'Does the page show “{outcome}”?', outcome=outcome, branch='main', quick=builder == 'linux-gcc')
            self.rest(3)

    def act_release(self):
        self.force('release', 'Ship 4.2.0-17 <b>today</b> & tell everybody', branch='main')
        self.rest(10)

    def act_broken_release(self):
        self.force('package rpm/x86_64', 'Try the new spec file', outcome='failure', branch='main')
        self.rest(4)

    def act_fuzz(self):
        """A build that is stopped while it runs."""
        self.force('nightly 🌙 fuzz', 'The nightly run, early', branch='main')
        build = self.await_running('nightly 🌙 fuzz')
        self.rest(9)
        if build:
            self.call(f'builds/{build["buildid"]}', 'stop', reason='The machine is needed for the release')

    def act_crash(self):
        self.force('nightly 🌙 fuzz', 'With the new corpus', outcome='failure', branch='main')
        self.rest(3)

    def act_cancel(self):
        """Requests that never get a build: cancelled while they wait."""
        for reason in ('On the new machine', 'Once more, please'):
            self.force('macos-arm64', reason, branch='main')
        self.rest(6)
        pending = self.get(f'buildrequests?complete=false&claimed=false&builderid={self.builders["macos-arm64"]}')['buildrequests']
        for request in pending[:1]:
            self.call(f'buildrequests/{request["buildrequestid"]}', 'cancel', reason='cedar-mac is away until Thursday')

    def act_try(self):
        work, path, diff = os.path.join(self.folder, 'kestrel'), 'src/store/btree.cc', os.path.join(self.folder, 'try.diff')
        base = git(work, 'rev-parse', 'main')
        with open(os.path.join(work, path), encoding='utf-8') as file:
            write(work, {path: file.read() + TRIED})
        write(self.folder, {'try.diff': git(work, 'diff') + '\n'})
        git(work, 'checkout', '-q', path)
        command = [os.path.join(BIN, 'buildbot'), 'try', '--connect=pb', f'--master=127.0.0.1:{self.settings["try"]}',
                   '--username=alice', '--passwd=apw', '--vc=git', '--branch=main',
                   f'--repository=file://{self.folder}/kestrel.git', '--builder=try', f'--diff={diff}', '--patchlevel=1',
                   '--who=Amara Okafor <amara@kestrel.example.org>', '--comment=Link the leaves?',
                   f'--baserev={base}', '--property=ticket=2317']
        for _ in range(10):
            # The master may be on its way up.
            tried = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if tried.returncode == 0 and 'Delivering job' in tried.stdout + tried.stderr:
                break
            print(tried.stdout, tried.stderr, file=sys.stderr)
            time.sleep(1)
        self.done['try'] += 1
        self.rest(3)

    def act_rebuild(self):
        self.idle()
        failed = self.get('builds?results=2&order=-buildid&limit=1')['builds']
        if failed:
            self.call(f'builds/{failed[0]["buildid"]}', 'rebuild')
        self.rest(3)

    def act_worker(self):
        """A worker dies in the middle of a build: the build ends as retry, its request is built again."""
        self.idle()
        self.force('linux-gcc', 'Before the worker is restarted', branch='main')
        build = self.await_running('linux-gcc')
        self.rest(6)
        if not build or not build['workerid']:
            return
        name = self.get(f'workers/{build["workerid"]}')['workers'][0]['name']
        with open(os.path.join(self.folder, name + '.pid'), encoding='utf-8') as file:
            os.killpg(int(file.read()), 9)
        self.done['worker killed'] += 1
        self.rest(4)
        # Its new process belongs to the scenario, which ends it when it ends (main()).
        self.revived = Lab(self.folder)
        self.revived.start(name)
        self.rest(6)


ACTS = ['commits', 'branch', 'results', 'library', 'release', 'try', 'fuzz', 'more_commits', 'library_again', 'cancel', 'crash', 'broken_release',
        'rebuild', 'worker']


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('folder')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--acts', default=','.join(ACTS))
    parser.add_argument('--keep-worker', action='store_true', help='leave the revived worker to who started the lab')
    a = parser.parse_args()
    scenario = Scenario(a.folder, a.seed)
    scenario.connect()
    try:
        for act in a.acts.split(','):
            getattr(scenario, 'act_' + act)()
        scenario.idle()
    finally:
        if scenario.revived and not a.keep_worker:
            scenario.revived.down()
    results = collections.Counter(str(b['results']) for b in scenario.get('builds?limit=1000')['builds'])
    print(json.dumps({'builds': sum(results.values()), 'results': dict(sorted(results.items())), 'done': dict(scenario.done)}))
    sys.stdout.flush()


if __name__ == '__main__':
    main()
