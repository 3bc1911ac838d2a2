# Prints one line an order: fetch.sh REGION LIMIT
region=$1
limit=$2
i=1
while [ "$i" -le "$limit" ] && [ "$i" -le 60 ]; do
  echo "order-$region-$i"
  i=$((i + 1))
done
