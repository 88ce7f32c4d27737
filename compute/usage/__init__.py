"""What is used, over time: samples become points of 10 s, and points become coarser ones. No Django.

``points`` knows what is measured and how points are put together, ``codec`` how they are kept.
"""
