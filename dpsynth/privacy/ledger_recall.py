"""The receipt of an earlier run once more, from the ledger's entries alone.

What a model says of its own spending is a file that anybody can edit. What the ledger says is chained.
"""

from __future__ import annotations

from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.ledger_book import Book
from dpsynth.privacy.ledger_filter import Filter
from dpsynth.privacy.ledger_plan import checked_certificate, write_receipt
from dpsynth.privacy.receipt import Receipt

FAILED = "failed"


def recalled(ledger: Ledger, run_id: str, head: str) -> Receipt | None:
    """The receipt that the run got when `head` was the ledger's last entry.

    None for a run or a head that the ledger does not know, and for a run that failed or never ended.
    """
    entries = ledger.entries
    ends = [e.body for e in entries if e.kind == "commit" and e.body["run"] == run_id]
    if not ends or ends[0]["outcome"] == FAILED or not ledger.contains(head):
        return None
    book = Book.begin(entries[0])
    for entry in entries[1:]:
        book.post(entry)
        if run_id in book.runs:
            break
    record = book.runs[run_id]
    return write_receipt(
        Filter(book.opening.promise, book.opening.slack),
        book,
        record,
        checked_certificate(record.charges, record.budget),
        book.spendings[:-1],
        head=head,
        releasable=ledger.releasable,
        seeded=bool(ends[0]["seeded"]),
    )
