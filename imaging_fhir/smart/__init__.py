"""SMART App Launch: scopes and tokens, without network, database or HTTP."""
