"""The demo page: visitors give clips, a worker answers them through the live path, a player shows every frame with its
own result.

Start with ``serve`` (the command) and ``page`` (what the browser shows). Then: ``visits`` (private folders),
``limits`` (what is taken), ``answering`` and ``workers`` (a clip becomes a recorded session), ``packets`` (one packet
per frame for the player), ``tables`` (what the session comes to).
"""
