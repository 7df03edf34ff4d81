"""Side-by-side runs against the servers people use today, on one machine, in one run: ratios, not absolute speeds.

python -m benchmarks            both parts, three minutes at most; root
python -m benchmarks.tftp       against dnsmasq and tftpd-hpa
python -m benchmarks.dhcp       against dnsmasq, with Kea's perfdhcp as the client
"""
