"""Records a real master: websocket frames as they come, and the REST answers right after.

    record.py OUT_DIR [--pace P] [--seed N] [--gzip]

A lab is made in a temporary folder. The acts of BEFORE run first and are in the REST answers alone: they are
the history that a master has when somebody connects. The rest runs while the websocket is recorded. Files:

ws.jsonl                {"k": routing key, "m": message or null, "t": seconds since 1970}
rest_builds.jsonl       {"buildid", "build", "changes", "steps", "logs": {"STEP/SLUG": {"log", "contents", "raw"}},
                         "buildset", "buildset_properties"}, each value the answer's body
rest_collections.jsonl  {"path", "status", "body"}

Folders and addresses of this machine are replaced by those of the invented project; nothing else is changed.
"""

import argparse
import gzip
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor

import lab

BEFORE = ['commits', 'library']
RECORDED = ['branch', 'results', 'more_commits', 'library_again', 'release', 'try', 'fuzz', 'cancel', 'crash', 'broken_release',
            'rebuild', 'worker']
PATHS = ['*/*/*', 'builds/*/properties/update', 'control/*/*/*']
COLLECTIONS = ['config', 'masters', 'builders', 'workers', 'changes', 'buildsets', 'buildrequests?property=*', 'builds?property=*',
               'schedulers', 'changesources', 'forceschedulers', 'sourcestamps', 'projects', 'codebases', 'application.spec']


class Listener(WebSocketClientProtocol):
    def onOpen(self):
        for number, path in enumerate(PATHS, 1):
            self.sendMessage(json.dumps({'cmd': 'startConsuming', 'path': path, '_id': number}).encode())
        self.acknowledged = 0

    def onMessage(self, payload, isBinary):
        frame = json.loads(payload)
        if 'k' in frame:
            self.factory.frames.append({'k': frame['k'], 'm': frame['m'], 't': round(time.time(), 3)})
        elif frame.get('code') == 200:
            self.acknowledged += 1
            if self.acknowledged == len(PATHS):
                self.factory.ready.put(True)


def listen(url):
    factory = WebSocketClientFactory(url.replace('http', 'ws') + '/ws')
    factory.protocol = Listener
    factory.frames, factory.ready = [], queue.Queue()
    port = urllib.parse.urlsplit(url).port
    reactor.callWhenRunning(reactor.connectTCP, '127.0.0.1', port, factory)
    threading.Thread(target=reactor.run, kwargs={'installSignalHandlers': False}, daemon=True).start()
    factory.ready.get(timeout=30)
    return factory.frames


def fetch(url, path):
    below = '' if path == 'config' else 'api/v2/'
    request = urllib.request.Request(f'{url}/{below}{path}', headers={'Accept': 'application/json'})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, answer.read().decode()


def rest_builds(url):
    def body(path):
        return json.loads(fetch(url, path)[1])

    for build in body('builds?order=buildid&limit=1000')['builds']:
        number = build['buildid']
        request = body(f'buildrequests/{build["buildrequestid"]}')['buildrequests'][0]
        record = {'buildid': number, 'build': body(f'builds/{number}?property=*'), 'changes': body(f'builds/{number}/changes'),
                  'steps': body(f'builds/{number}/steps'), 'logs': {}, 'buildset': body(f'buildsets/{request["buildsetid"]}'),
                  'buildset_properties': body(f'buildsets/{request["buildsetid"]}/properties')}
        for step in record['steps']['steps']:
            for log in body(f'steps/{step["stepid"]}/logs')['logs']:
                record['logs'][f'{step["name"]}/{log["slug"]}'] = {
                    'log': log, 'contents': body(f'logs/{log["logid"]}/contents'), 'raw': fetch(url, f'logs/{log["logid"]}/raw')[1]}
        yield record


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('out')
    parser.add_argument('--pace', type=float, default=1.0)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--gzip', action='store_true')
    a = parser.parse_args()
    os.makedirs(a.out, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='lab-') as temporary:
        folder = os.path.join(temporary, 'srv')
        lab.create(folder, a.pace)
        running = lab.Lab(folder)

        def play(acts):
            subprocess.run([sys.executable, os.path.join(lab.HERE, 'scenario.py'), folder, '--seed', str(a.seed),
                            '--acts', ','.join(acts), '--keep-worker'], check=True)

        try:
            running.up()
            play(BEFORE)
            frames = listen(running.url)
            play(RECORDED)
            frames = list(frames)
            builds = list(rest_builds(running.url))
            collections = [{'path': path, 'status': status, 'body': json.loads(text)}
                           for path in COLLECTIONS for status, text in [fetch(running.url, path)]]
        finally:
            running.down()
        replaced = [(f'file://{folder}/', 'https://git.kestrel.example.org/'), (folder, '/srv/buildbot'),
                    (sys.prefix, '/srv/buildbot/venv'), (running.url, 'https://ci.kestrel.example.org')]
    for name, rows in (('ws', frames), ('rest_builds', builds), ('rest_collections', collections)):
        text = ''.join(json.dumps(row, ensure_ascii=False, separators=(',', ':')) + '\n' for row in rows)
        for old, new in replaced:
            text = text.replace(old, new)
        path = os.path.join(a.out, name + '.jsonl')
        if a.gzip:
            with open(path + '.gz', 'wb') as raw, gzip.GzipFile('', 'wb', 9, raw, mtime=0) as file:
                file.write(text.encode())
        else:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
    print(json.dumps({'frames': len(frames), 'builds': len(builds), 'seconds': round(frames[-1]['t'] - frames[0]['t'])}))


if __name__ == '__main__':
    main()
