"""The engine: interprets a plan's steps at one party, and the one exit through which results leave."""
