#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""handover.py SOCKET IMPI SECONDS: the sets of one UE as its P-CSCF's gmespd has them, as a table
that grows with every event and once a second. Ends after SECONDS, or on SIGTERM with a last row."""

import asyncio
import signal
import sys

from engine import Engine, Refused

GONE = ("expired", "deleted", "authentication_timeout")
HEAD = (f"{'time':>6}  {'what happened':<16}{'set':<20}{'state':<13}{'in use':<8}"
        f"{'uc -> ps':<14}{'pc -> us':<14}{'SPIs ps pc (UE sends)':<23}"
        f"{'SPIs us uc (UE hears)':<23}{'in':>6}{'out':>6}")


class Table:
    def __init__(self, engine, impi):
        self._engine, self._impi = engine, impi
        self._began = asyncio.get_running_loop().time()
        self._last = {}  # handle: what was printed of it last

    async def print_rows(self, event=None):
        """The sets of the UE of which there is something new, and the one that the event is of."""
        seconds = f"{asyncio.get_running_loop().time() - self._began:6.2f}"
        for row in (await self._engine.call("ue list", impi=self._impi))["sets"]:
            try:
                shown = await self._engine.call("ue show", handle=row["handle"])
            except Refused:  # gone since
                continue
            text, handle = self._row(shown), row["handle"]
            its = event is not None and event.get("handle") == handle
            if its or self._last.get(handle) != text:
                what = event["event"].replace("_", " ") if its else ""
                print(f"{seconds}  {what:<16}{text}", flush=True)
            self._last[handle] = text
        if event is not None and event["event"] in GONE and event["handle"] in self._last:
            print(f"{seconds}  {event['event'].replace('_', ' '):<16}{event['handle']}", flush=True)

    @staticmethod
    def _row(shown):
        packets = {"in": 0, "out": 0}
        for sa in shown["sas"]:
            packets[sa["dir"]] += sa["packets"]
        spi = {name: f"{int(str(shown[name]), 0):08x}" for name in (
            "pcscf_spi_s", "pcscf_spi_c", "ue_spi_s", "ue_spi_c")}
        up = f"{shown['ue_port_c']} {shown['pcscf_port_s']}"
        down = f"{shown['pcscf_port_c']} {shown['ue_port_s']}"
        return (f"{shown['handle']:<20}{shown['state']:<13}"
                f"{'yes' if shown['in_use'] else '-':<8}{up:<14}{down:<14}"
                f"{spi['pcscf_spi_s'] + ' ' + spi['pcscf_spi_c']:<23}"
                f"{spi['ue_spi_s'] + ' ' + spi['ue_spi_c']:<23}"
                f"{packets['in']:>6}{packets['out']:>6}")


async def main(path, impi, seconds):
    engine, monitor = Engine(path), Engine(path)
    table, events = Table(engine, impi), asyncio.Queue()
    await monitor.monitor(events.put_nowait, ue=True)
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, end.set)
    loop.call_later(float(seconds), end.set)
    print(HEAD + "\n" + "-" * len(HEAD))
    await table.print_rows()
    while not end.is_set():
        try:
            event = await asyncio.wait_for(events.get(), 1)
        except asyncio.TimeoutError:
            await table.print_rows()
        else:
            await table.print_rows(event)
    await table.print_rows()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
