"""What should be: the controller's database, its events and its audit record.

Queries are functions in the modules of their tables: `machines`, `volumes`, `operations`, `audit`,
`inventory`, `clusters`, `appliances`, `addresses`, `feeds`, `entries`.
"""

from cernvmcontroller.store.database import StoreError
from cernvmcontroller.store.leadership import Leadership, lead
from cernvmcontroller.store.store import Store
from cernvmcontroller.store.transaction import Actor, Transaction

__all__ = ["Actor", "Leadership", "Store", "StoreError", "Transaction", "lead"]
