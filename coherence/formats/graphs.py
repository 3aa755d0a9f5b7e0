def case_of_graph():
    pass


def network_of_graph():
    pass
