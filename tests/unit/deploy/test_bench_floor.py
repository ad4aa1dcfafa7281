from deploy.bench.floor import Share, Written, dealt

ORDERS = Written("orders", ["id", "customer"], [(n, n % 2) for n in range(10)])
CUSTOMERS = Written("customers", ["id"], [(1,), (0,), (2,)])
BY_CUSTOMER = {"child": "orders", "parent": "customers", "child_columns": ["customer"], "parent_columns": ["id"]}


def test_each_transaction_gets_an_even_share_of_each_table_in_order() -> None:
    first, second = dealt({"orders": ORDERS}, [], 2)
    assert first == [Share("orders", ORDERS.columns, ORDERS.rows[:5])]
    assert second == [Share("orders", ORDERS.columns, ORDERS.rows[5:])]


def test_a_table_with_fewer_rows_than_transactions_is_missing_from_some() -> None:
    shares = dealt({"customers": CUSTOMERS}, [], 5)
    assert [row for batch in shares for share in batch for row in share.rows] == CUSTOMERS.rows
    assert [] in shares


def test_a_row_that_others_refer_to_is_written_before_them() -> None:
    shares = dealt({"orders": ORDERS, "customers": CUSTOMERS}, [BY_CUSTOMER], 3)
    assert [share.table for share in shares[0]] == ["customers", "orders"]
    assert shares[0][0].rows == [(1,), (0,)]
    assert sum(len(share.rows) for batch in shares for share in batch) == 13
