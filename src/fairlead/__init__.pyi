from fairlead.client.client import Client as Client
from fairlead.client.sync import SyncClient as SyncClient
from fairlead.events.pieces import media as media
from fairlead.events.pieces import progress as progress
from fairlead.events.pieces import reasoning as reasoning
from fairlead.events.pieces import sources as sources
from fairlead.events.pieces import thinking as thinking
from fairlead.server.library import Fairlead as Fairlead

__version__: str
