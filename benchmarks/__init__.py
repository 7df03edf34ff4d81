"""Side-by-side runs against the servers people use today, on one machine, in one run: ratios, not absolute speeds.

python -m benchmarks               all parts, as root
python -m benchmarks web dhcp      some of them, by the names of their modules
"""
