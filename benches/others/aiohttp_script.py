"""Edits the messages of a list with aiohttp and aiolimiter, as a careful person would write it in an afternoon: one
session with its connections kept, workers that take rows from one reader, passing errors tried again, and what is done
noted in a log."""

import asyncio
import json
import sys

import aiohttp
from aiolimiter import AsyncLimiter

WORKERS = 64
ATTEMPTS = 8
HEADERS = {"Content-Type": "application/json"}


async def edit(session, limiter, url, body):
    for attempt in range(ATTEMPTS):
        async with limiter:
            async with session.post(url, data=body, headers=HEADERS) as response:
                answer = await response.json()
        if answer["ErrorCode"] == 0:
            return
        await asyncio.sleep(0.5 * 2**attempt)
    raise RuntimeError(f"given up: {body}")


async def work(rows, session, limiter, url, log):
    for body in rows:
        await edit(session, limiter, url, body.encode())
        log.write(json.loads(body)["MsgKey"] + "\n")


async def main(path, url, log_path, rate):
    limiter = AsyncLimiter(rate, 1)
    connector = aiohttp.TCPConnector(limit=WORKERS)
    timeout = aiohttp.ClientTimeout(total=10)
    with open(path, encoding="utf-8") as file, open(log_path, "a", encoding="utf-8", buffering=1) as log:
        rows = (line.rstrip("\n") for line in file)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(*(work(rows, session, limiter, url, log) for _ in range(WORKERS)))


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
