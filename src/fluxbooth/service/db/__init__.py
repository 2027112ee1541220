"""The database: tables, columns, transactions, migrations."""
