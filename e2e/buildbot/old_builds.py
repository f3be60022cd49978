"""Gives a stopped master a past: writes finished builds into its database.

    old_builds.py LAB COUNT [--apart SECONDS] [--extra-builders N] [--steps N]

They are spread over four builders, or over the lab's N extra ones, end with every result, and have what a real
build has: buildset, request, source stamp, properties, steps, a log of each step. One began every so many seconds
(60), the last one that long ago. The master must have run once, so that the database holds its builders and workers.
"""

import argparse
import hashlib
import itertools
import json
import os
import sqlite3
import time
import zlib

BUILDERS = ('linux-gcc', 'windows/msvc', 'docs', 'quick-00')
# Mostly good, and each way to fail: success, warnings, failure, skipped, exception, retry, cancelled.
RESULTS = (0, 0, 2, 0, 1, 0, 2, 0, 4, 0, 3, 6, 0, 5, 0, 0)
STEP_SECONDS = 10


class Table:
    """Adds rows under keys of their own, above those that are there."""

    def __init__(self, database, name, key='id'):
        self.database, self.name, self.key = database, name, key
        self.last = database.execute(f'select coalesce(max({key}), 0) from {name}').fetchone()[0]

    def add(self, **row):
        self.last += 1
        insert(self.database, self.name, {self.key: self.last, **row})
        return self.last


def insert(database, table, row):
    marks = ', '.join('?' * len(row))
    database.execute(f'insert into {table} ({", ".join(row)}) values ({marks})', list(row.values()))


def fill(database, count, apart, names, steps_each):
    def ids(table):
        return {name: key for key, name in database.execute(f'select id, name from {table}')}

    master = database.execute('select id from masters').fetchone()[0]
    builders, workers = ids('builders'), itertools.cycle(ids('workers').values())
    stamps, sets, requests, builds, steps, logs = (
        Table(database, name)
        for name in ('sourcestamps', 'buildsets', 'buildrequests', 'builds', 'steps', 'logs'))
    text = zlib.compress(b'oold line one\noold line two')
    begin = int(time.time()) - apart * (count + 1)
    for index in range(count):
        name, number = names[index % len(names)], index // len(names) + 1
        start, end, results = begin + apart * index, begin + apart * index + STEP_SECONDS * steps_each, RESULTS[index % len(RESULTS)]
        revision = hashlib.sha1(b'old %d' % index).hexdigest()
        stamp = stamps.add(
            ss_hash=revision, branch='main', revision=revision, repository='file:///old/kestrel.git',
            codebase='', project='kestrel', created_at=start)
        buildset = sets.add(
            reason='An old build', submitted_at=start, complete=1, complete_at=end, results=results)
        insert(database, 'buildset_sourcestamps', {'buildsetid': buildset, 'sourcestampid': stamp})
        insert(database, 'buildset_properties', {
            'buildsetid': buildset, 'property_name': 'scheduler', 'property_value': '["main", "Scheduler"]'})
        request = requests.add(
            buildsetid=buildset, builderid=builders[name], priority=0, complete=1, results=results,
            submitted_at=start, complete_at=end, waited_for=0)
        insert(database, 'buildrequest_claims', {
            'brid': request, 'masterid': master, 'claimed_at': start})
        build = builds.add(
            number=number, builderid=builders[name], buildrequestid=request, workerid=next(workers),
            masterid=master, started_at=start, complete_at=end, locks_duration_s=0,
            state_string='an old build', results=results)
        for key, value in {
            'buildername': name, 'buildnumber': number, 'branch': 'main', 'got_revision': revision,
            'owners': ['Old Hand <old@kestrel.example.org>'],
        }.items():
            insert(database, 'build_properties', {
                'buildid': build, 'name': key, 'value': json.dumps(value), 'source': 'Build'})
        for place in range(steps_each):
            step_name = f'unit tests {place}' if place else 'unit tests'
            step = steps.add(
                number=place, name=step_name, buildid=build, started_at=start + STEP_SECONDS * place,
                locks_acquired_at=start + STEP_SECONDS * place, complete_at=start + STEP_SECONDS * place + 9,
                state_string=step_name, results=results, urls_json='[]', hidden=0)
            log = logs.add(name='stdio', slug='stdio', stepid=step, complete=1, num_lines=2, type='s')
            insert(database, 'logchunks', {
                'logid': log, 'first_line': 0, 'last_line': 1, 'content': text, 'compressed': 1})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('lab')
    parser.add_argument('count', type=int)
    parser.add_argument('--apart', type=int, default=60)
    parser.add_argument('--extra-builders', type=int, default=0)
    parser.add_argument('--steps', type=int, default=1)
    a = parser.parse_args()
    names = [f'quick-{n:02}' for n in range(a.extra_builders)] or BUILDERS
    database = sqlite3.connect(os.path.join(a.lab, 'master', 'state.sqlite'))
    with database:  # one transaction: all of them or none
        fill(database, a.count, a.apart, names, a.steps)
    database.close()


if __name__ == '__main__':
    main()
